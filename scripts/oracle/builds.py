"""The builds of the oracle: name -> {prepare(dir, env) -> None or a reason to skip, steps, ignore, codes}."""
import builds_c
import builds_tools

ALL = {}
ALL.update(builds_c.ALL)
ALL.update(builds_tools.ALL)
