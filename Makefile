PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUN ?= runs/quickstart

.PHONY: train test wheel campaign lint format benchmark clean

train: $(VENV)/.train  ## Train the quickstart on the embedded jets and evaluate it
	$(BIN)/python train.py --config configs/quickstart.yaml --output_dir $(RUN)
	$(BIN)/python evaluate.py --run $(RUN) --test_file data/sample/test.h5

test: $(VENV)/.dev  ## Run every test
	$(BIN)/python -m pytest -n 2 --dist loadscope

wheel:  ## Build the wheel, install it into fresh environments, and use it there
	$(PYTHON) tests/wheel.py

campaign: $(VENV)/.dev  ## Run what takes long: every recorded log, and all trials of docs/reliability.md
	$(BIN)/python -m pytest -n 2 --dist loadscope -m campaign
	$(BIN)/python tests/campaign/run.py

lint: $(VENV)/.dev  ## Check style
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(VENV)/.dev  ## Mend style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

benchmark: $(VENV)/.train  ## Measure the data loader
	$(BIN)/python benchmark.py data

clean:  ## Remove the quickstart run
	rm -rf $(RUN)

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.train: requirements.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	touch $@

$(VENV)/.dev: requirements.txt requirements-dev.txt requirements-simulate.txt requirements-export.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	touch $@ $(VENV)/.train
