"""The templates of the package's reports."""

from collections.abc import Callable

import jinja2


def environment(autoescape: bool = False, **filters: Callable) -> jinja2.Environment:
    """Reads templates of the folder `templates`; a name that is unknown in one is an error.

    Args:
        autoescape: whether what is filled in is escaped for HTML.
        **filters: name in the templates -> function.
    """
    made = jinja2.Environment(
        loader=jinja2.PackageLoader("maskformer_jax.study"),
        autoescape=autoescape,
        undefined=jinja2.StrictUndefined,
        extensions=["jinja2.ext.do"],
        trim_blocks=True,
    )
    made.filters |= filters
    return made
