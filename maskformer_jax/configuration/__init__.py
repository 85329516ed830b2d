"""From YAML files and dotted overrides to frozen dataclasses, without trusting either.

`load(argv, kind, description, tables)` is the entry. Text becomes plain data (`safe_yaml`), plain
data are merged (`merge`) and turned into dataclasses (`typed`); what a place in a configuration may
hold is read from the dataclasses (`fields`). Nothing here knows what is configured.
"""

from maskformer_jax.configuration.command_line import load as load
from maskformer_jax.configuration.command_line import load_saved as load_saved
from maskformer_jax.configuration.command_line import save as save
from maskformer_jax.configuration.fields import chosen_by as chosen_by
from maskformer_jax.configuration.fields import options_of as options_of
from maskformer_jax.configuration.fields import plain as plain
from maskformer_jax.configuration.safe_yaml import Text as Text
from maskformer_jax.configuration.safe_yaml import dump as dump
from maskformer_jax.configuration.safe_yaml import read_file as read_file
