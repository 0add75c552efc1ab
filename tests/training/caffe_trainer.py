"""Real Caffe trains: run by the Python that has pycaffe, with solver files as arguments.

Before each solver's lines on standard error stands ``=== <file>``. It imports nothing of this package.
"""

import os
import sys

import caffe

caffe.set_mode_cpu()
for argument in sys.argv[1:]:
    path, _, state = argument.partition("=")
    os.write(2, f"=== {path}\n".encode())
    solver = caffe.get_solver(path)
    if state:
        solver.restore(state)
    solver.solve()
    del solver
