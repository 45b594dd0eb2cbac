"""Programs as Lava networks: what the worker of the target runs.

For networks made by hand see ``ecmt_deploy.targets.lava.processes``.
"""
