# The graph image of containers/ with this training in it: hvdsm image build examples/gcmc_movielens --file GCMC.Dockerfile
ARG DEVICE=cpu
ARG BASE=hvdsm-graph:sm-${DEVICE}
FROM ${BASE}
COPY app /opt/ml/code
ENV SAGEMAKER_PROGRAM=train.py
