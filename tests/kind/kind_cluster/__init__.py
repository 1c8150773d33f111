"""A kind cluster from nothing: engine, tools, node image, cluster, images. The command is `cluster.py` beside this folder."""
