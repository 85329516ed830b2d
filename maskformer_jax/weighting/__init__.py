"""Task weighting as optax transformations: task gradients `[K, ...]` in, one update out.

`METHODS[name](num_tasks, **options)` is an `optax.GradientTransformationExtraArgs`, usable as the
first link of a chain: `optax.chain(METHODS["equal"](6), optax.adamw(1e-3))`. Nothing here knows
what the tasks are.
"""

from functools import partial

from maskformer_jax.weighting._gramian import inner_products as inner_products
from maskformer_jax.weighting._method import Method as Method
from maskformer_jax.weighting._per_loss import in_order
from maskformer_jax.weighting._shared import SharedTransformation as SharedTransformation
from maskformer_jax.weighting._shared import TaskState as TaskState
from maskformer_jax.weighting._shared import own_weights
from maskformer_jax.weighting.aligned_mtl import aligned_mtl as aligned_mtl
from maskformer_jax.weighting.cagrad import cagrad as cagrad
from maskformer_jax.weighting.config import config as config
from maskformer_jax.weighting.cosmos import cosmos as cosmos
from maskformer_jax.weighting.cr_mogm import cr_mogm as cr_mogm
from maskformer_jax.weighting.db_mtl import db_mtl as db_mtl
from maskformer_jax.weighting.db_mtl import own_inverse_loss
from maskformer_jax.weighting.dualproj import dualproj as dualproj
from maskformer_jax.weighting.dwa import dwa as dwa
from maskformer_jax.weighting.equal import equal as equal
from maskformer_jax.weighting.excess_mtl import excess_mtl as excess_mtl
from maskformer_jax.weighting.fairgrad import fairgrad as fairgrad
from maskformer_jax.weighting.famo import famo as famo
from maskformer_jax.weighting.gls import gls as gls
from maskformer_jax.weighting.graddrop import graddrop as graddrop
from maskformer_jax.weighting.gradnorm import gradnorm as gradnorm
from maskformer_jax.weighting.gradvac import gradvac as gradvac
from maskformer_jax.weighting.imtl_g import imtl_g as imtl_g
from maskformer_jax.weighting.imtl_l import imtl_l as imtl_l
from maskformer_jax.weighting.krum import krum as krum
from maskformer_jax.weighting.mgda import mgda as mgda
from maskformer_jax.weighting.moco import moco as moco
from maskformer_jax.weighting.modo import modo as modo
from maskformer_jax.weighting.nash_mtl import nash_mtl as nash_mtl
from maskformer_jax.weighting.nash_mtl import own as own_nash_mtl
from maskformer_jax.weighting.pbi import pbi as pbi
from maskformer_jax.weighting.pcd import pcd as pcd
from maskformer_jax.weighting.pcgrad import pcgrad as pcgrad
from maskformer_jax.weighting.random import random as random
from maskformer_jax.weighting.rlw import rlw as rlw
from maskformer_jax.weighting.sdmgrad import sdmgrad as sdmgrad
from maskformer_jax.weighting.static import static as static
from maskformer_jax.weighting.stch import stch as stch
from maskformer_jax.weighting.trimmed_mean import trimmed_mean as trimmed_mean
from maskformer_jax.weighting.upgrad import upgrad as upgrad
from maskformer_jax.weighting.uw import uw as uw

METHODS = {
    "equal": Method(equal, family="loss"),
    "static": Method(static, family="loss", per_loss={"weights": "values"}),
    "gls": Method(gls, family="loss", weights_follow_losses=True, per_loss={"focus": "names"}),
    "rlw": Method(rlw, family="loss"),
    "uw": Method(uw, family="loss"),
    "stch": Method(
        stch, family="loss", weights_follow_losses=True, per_loss={"preference": "values"}
    ),
    "famo": Method(
        famo,
        family="loss",
        needs=("losses_after",),
        weights_follow_losses=True,
        per_loss={"min_losses": "values"},
    ),
    "dwa": Method(dwa, family="loss"),
    "aligned_mtl": Method(aligned_mtl, family="gramian"),
    "pcgrad": Method(pcgrad, family="gramian"),
    "cagrad": Method(cagrad, family="gramian"),
    "nash_mtl": Method(nash_mtl, family="gramian", own=own_nash_mtl),
    "gradvac": Method(gradvac, family="gramian"),
    "gradnorm": Method(gradnorm, family="gradient"),
    "mgda": Method(mgda, family="gramian"),
    "imtl_g": Method(imtl_g, family="gramian"),
    "imtl_l": Method(imtl_l, family="loss"),
    "upgrad": Method(upgrad, family="gramian"),
    "dualproj": Method(dualproj, family="gramian"),
    "config": Method(config, family="gramian"),
    "fairgrad": Method(fairgrad, family="gramian", own=own_weights),
    "graddrop": Method(graddrop, family="gradient", per_loss={"leak": "values"}),
    "db_mtl": Method(db_mtl, family="gradient", own=own_inverse_loss),
    "excess_mtl": Method(excess_mtl, family="gradient", own=own_weights),
    "sdmgrad": Method(sdmgrad, family="gradient", needs=("task_grads_2",)),
    "modo": Method(modo, family="gradient", needs=("task_grads_2",)),
    "moco": Method(moco, family="gradient"),
    "pcd": Method(pcd, family="gramian", per_loss={"primary": "name"}),
    "krum": Method(krum, family="gramian"),
    "trimmed_mean": Method(trimmed_mean, family="gradient"),
    "random": Method(random, family="loss"),
    "cosmos": Method(
        cosmos, family="loss", weights_follow_losses=True, per_loss={"weights": "values"}
    ),
    "pbi": Method(
        pbi,
        family="loss",
        weights_follow_losses=True,
        per_loss={"weights": "values", "reference": "values"},
    ),
}
# A method on top of another one, which it finds in the table.
METHODS["cr_mogm"] = Method(
    partial(cr_mogm, methods=METHODS), family="gramian", per_loss={"base_options": "base_options"}
)
options_in_order = partial(in_order, METHODS)
