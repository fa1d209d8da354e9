"""The core: user state, components, fusion, policies, bandits and causal estimators; it knows no I/O."""
