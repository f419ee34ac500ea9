"""Where artifact, store and stage meet: one thin Prefect task a stage."""
