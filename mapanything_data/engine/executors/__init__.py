"""Where work runs: `inline`, `processes`, `submitit`, `ray`; one module each, found by its name."""
