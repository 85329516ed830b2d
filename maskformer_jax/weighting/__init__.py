"""Task weighting as optax transformations: task gradients `[K, ...]` in, one update out.

`METHODS[name](num_tasks, **options)` is an `optax.GradientTransformationExtraArgs`, usable as the
first link of a chain: `optax.chain(METHODS["equal"](6), optax.adamw(1e-3))`. Nothing here knows
what the tasks are.

Every factory raises ValueError where `num_tasks` is not positive or an option breaks its rule, in
one line with the option, the rule and the value, and TypeError for an option that it does not have.
What a docstring says under `Raises` comes on top.
"""

from functools import partial

from maskformer_jax.weighting._aligned_mtl import aligned_mtl as aligned_mtl
from maskformer_jax.weighting._cagrad import cagrad as cagrad
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
from maskformer_jax.weighting._method import Method as Method
from maskformer_jax.weighting._method import in_order
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
from maskformer_jax.weighting._task_grads import value_and_task_grads as value_and_task_grads
from maskformer_jax.weighting._trimmed_mean import trimmed_mean as trimmed_mean
from maskformer_jax.weighting._upgrad import upgrad as upgrad
from maskformer_jax.weighting._uw import uw as uw
from maskformer_jax.weighting.shared_parameters import Reach as Reach
from maskformer_jax.weighting.shared_parameters import find_reach as find_reach
from maskformer_jax.weighting.shared_parameters import find_shared as find_shared

# Their weights depend on the losses that they weight.
_following = partial(Method, family="loss", weights_follow_losses=True)

METHODS = {
    "equal": Method(equal, "loss"),
    "static": Method(static, "loss", per_loss={"weights": "values"}),
    "gls": _following(gls, per_loss={"focus": "names"}),
    "rlw": Method(rlw, "loss"),
    "uw": Method(uw, "loss", from_caller=("optimiser",)),
    "stch": _following(stch, per_loss={"preference": "values"}, from_caller=("steps_per_epoch",)),
    "famo": _following(famo, needs=("losses_after",), per_loss={"min_losses": "values"}),
    "dwa": Method(dwa, "loss", from_caller=("steps_per_epoch",)),
    "aligned_mtl": Method(aligned_mtl, "gramian"),
    "pcgrad": Method(pcgrad, "gramian"),
    "cagrad": Method(cagrad, "gramian"),
    "nash_mtl": Method(nash_mtl, "gramian"),
    "gradvac": Method(gradvac, "gramian"),
    "gradnorm": Method(gradnorm, "gradient", from_caller=("steps_per_epoch", "norm_params")),
    "mgda": Method(mgda, "gramian"),
    "imtl_g": Method(imtl_g, "gramian"),
    "imtl_l": Method(imtl_l, "loss", from_caller=("optimiser",)),
    "upgrad": Method(upgrad, "gramian"),
    "dualproj": Method(dualproj, "gramian"),
    "config": Method(config, "gramian"),
    "fairgrad": Method(fairgrad, "gramian"),
    "graddrop": Method(graddrop, "gradient", per_loss={"leak": "values"}),
    "db_mtl": Method(db_mtl, "gradient"),
    "excess_mtl": Method(excess_mtl, "gradient"),
    "sdmgrad": Method(sdmgrad, "gradient", needs=("task_grads_2",)),
    "modo": Method(modo, "gradient", needs=("task_grads_2",)),
    "moco": Method(moco, "gradient"),
    "pcd": Method(pcd, "gramian", per_loss={"primary": "name"}),
    "krum": Method(krum, "gramian"),
    "trimmed_mean": Method(trimmed_mean, "gradient"),
    "random": Method(rlw, "loss"),
    "cosmos": _following(cosmos, per_loss={"weights": "values"}),
    "pbi": _following(pbi, per_loss={"weights": "values", "reference": "values"}),
}
# A method on top of another one, which it finds in the table.
METHODS["cr_mogm"] = Method(
    partial(cr_mogm, methods=METHODS), "gramian", per_loss={"base_options": "base_options"}
)
options_in_order = partial(in_order, METHODS)
