"""What many runs of games say together: seeds x tasks x arms x settings, from their folders to one page.

`runs.py` reads run folders, `replicates.py` says which of them are seeds of the same thing, `measures.py`
and `summary.py` compute, `charts.py` and `path_maps.py` draw, `page.py` and `tables.py` write.
"""
