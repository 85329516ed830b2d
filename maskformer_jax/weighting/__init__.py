"""Task weighting as optax transformations: task gradients `[K, ...]` in, one update out.

`METHODS[name](num_tasks, **options)` is an `optax.GradientTransformationExtraArgs`, usable as the
first link of a chain: `optax.chain(METHODS["equal"](6), optax.adamw(1e-3))`. Nothing here knows
what the tasks are.

The docstring of a factory ends in what its family takes, returns and refuses. A number among the
options may be one of NumPy or JAX, traced too, or a schedule: a function of the number of updates
so far.
"""

from maskformer_jax.weighting._aligned_mtl import aligned_mtl as aligned_mtl
from maskformer_jax.weighting._cagrad import cagrad as cagrad
from maskformer_jax.weighting._compose import accumulate as accumulate
from maskformer_jax.weighting._compose import method_state as method_state
from maskformer_jax.weighting._compose import skip_non_finite as skip_non_finite
from maskformer_jax.weighting._config import config as config
from maskformer_jax.weighting._cosmos import cosmos as cosmos
from maskformer_jax.weighting._cr_mogm import cr_mogm as cr_mogm
from maskformer_jax.weighting._db_mtl import db_mtl as db_mtl
from maskformer_jax.weighting._dualproj import dualproj as dualproj
from maskformer_jax.weighting._dwa import dwa as dwa
from maskformer_jax.weighting._equal import equal as equal
from maskformer_jax.weighting._excess_mtl import excess_mtl as excess_mtl
from maskformer_jax.weighting._fairgrad import fairgrad as fairgrad
from maskformer_jax.weighting._famo import famo as famo
from maskformer_jax.weighting._gls import gls as gls
from maskformer_jax.weighting._graddrop import graddrop as graddrop
from maskformer_jax.weighting._gradients import TaskState as TaskState
from maskformer_jax.weighting._gradnorm import gradnorm as gradnorm
from maskformer_jax.weighting._gradvac import gradvac as gradvac
from maskformer_jax.weighting._imtl_g import imtl_g as imtl_g
from maskformer_jax.weighting._imtl_l import imtl_l as imtl_l
from maskformer_jax.weighting._krum import krum as krum
from maskformer_jax.weighting._losses import Weighting as Weighting
from maskformer_jax.weighting._method import METHODS as METHODS
from maskformer_jax.weighting._method import Method as Method
from maskformer_jax.weighting._method import options_in_order as options_in_order
from maskformer_jax.weighting._mgda import mgda as mgda
from maskformer_jax.weighting._moco import moco as moco
from maskformer_jax.weighting._modo import modo as modo
from maskformer_jax.weighting._nash_mtl import nash_mtl as nash_mtl
from maskformer_jax.weighting._options import SharedOptions as SharedOptions
from maskformer_jax.weighting._pbi import pbi as pbi
from maskformer_jax.weighting._pcd import pcd as pcd
from maskformer_jax.weighting._pcgrad import pcgrad as pcgrad
from maskformer_jax.weighting._rlw import rlw as rlw
from maskformer_jax.weighting._rows import inner_products as inner_products
from maskformer_jax.weighting._sdmgrad import sdmgrad as sdmgrad
from maskformer_jax.weighting._static import static as static
from maskformer_jax.weighting._stch import stch as stch
from maskformer_jax.weighting._step import Step as Step
from maskformer_jax.weighting._step import StepLog as StepLog
from maskformer_jax.weighting._step import StepState as StepState
from maskformer_jax.weighting._step import weighted_step as weighted_step
from maskformer_jax.weighting._task_grads import Reach as Reach
from maskformer_jax.weighting._task_grads import find_reach as find_reach
from maskformer_jax.weighting._task_grads import find_shared as find_shared
from maskformer_jax.weighting._task_grads import value_and_task_grads as value_and_task_grads
from maskformer_jax.weighting._trimmed_mean import trimmed_mean as trimmed_mean
from maskformer_jax.weighting._upgrad import upgrad as upgrad
from maskformer_jax.weighting._uw import uw as uw

# In the order of the tables in the documentation.
_METHODS = [equal, static, gls, rlw, uw, stch, famo, dwa, aligned_mtl, pcgrad, cagrad, nash_mtl]
_METHODS += [gradvac, gradnorm, mgda, imtl_g, imtl_l, upgrad, dualproj, config, fairgrad]
_METHODS += [graddrop, db_mtl, excess_mtl, sdmgrad, modo, moco, pcd, krum, trimmed_mean]
METHODS.update({method.__name__: method for method in _METHODS})
METHODS.update(random=rlw, cosmos=cosmos, pbi=pbi, cr_mogm=cr_mogm)
