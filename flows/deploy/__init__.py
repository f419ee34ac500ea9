"""Deploy a recipe to a Prefect server: pools, queues, limits, deployments, schedules and automations.

`wanted` says what there should be, as values. `apply` brings a server there, and leaves alone what people changed on
it. The automations are the YAML files of this folder.
"""
