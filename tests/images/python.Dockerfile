# Debian's own Python 3.11, where python:3.11-slim cannot be pulled. venv is there to install wheels with.
ARG BASE_IMAGE
FROM ${BASE_IMAGE}
RUN apt-get update && apt-get install -y --no-install-recommends python3 python3-venv \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/log/*
