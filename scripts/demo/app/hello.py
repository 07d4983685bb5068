import numpy

print("numpy", numpy.__version__, "sum", numpy.arange(10).sum())
