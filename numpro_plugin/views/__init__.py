"""Pictures of runs: the report page and the sheet of numbered frames."""
