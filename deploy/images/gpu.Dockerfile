# syntax=docker/dockerfile:1
# What needs NVIDIA's base images: triton (the gpu profile's server), engines (builds for it), rtx (a gateway with its own
# Triton on an RTX GPU). Not built anywhere yet. RELEASE pins Triton and TensorRT to one month, so that the plans that engines
# builds are of the TensorRT that Triton has. Pin the bases by digest when you build.
#   docker build --file deploy/images/gpu.Dockerfile --target triton --tag wildgate-triton:0.1.0 .
ARG RELEASE=26.11
ARG CUDA=13.0.2

FROM nvcr.io/nvidia/tritonserver:${RELEASE}-py3 AS triton
# For the CPU decoder, which takes what NVDEC does not: av of constraints.txt.
COPY constraints.txt /tmp/constraints.txt
RUN pip install --no-cache-dir --constraint /tmp/constraints.txt av && rm /tmp/constraints.txt \
    && pip list --format=json > /opt/tritonserver/python-packages.json
USER 10001:10001
WORKDIR /tmp
ENV PYTHONDONTWRITEBYTECODE=1 NVIDIA_DRIVER_CAPABILITIES=compute,utility,video
EXPOSE 8000 8001 8002
HEALTHCHECK --interval=10s --timeout=5s --start-period=300s CMD ["curl", "--fail", "--silent", "http://127.0.0.1:8000/v2/models/video_scorer/ready"]

FROM nvcr.io/nvidia/tensorrt:${RELEASE}-py3 AS engines
ENV PIP_NO_CACHE_DIR=1 PYTHONDONTWRITEBYTECODE=1 PATH=/opt/wildgate/venv/bin:$PATH
WORKDIR /src
COPY constraints.txt pyproject.toml README.md LICENSE ./
COPY client client
COPY proto proto
COPY server server
COPY build build
COPY enforcement enforcement
COPY search search
COPY deploy/images/bill_of_materials.sh /usr/local/bin/bill-of-materials
# The image's own TensorRT, which matches Triton's; pycuda is compiled here, where the CUDA toolkit is.
RUN python3 -m venv --system-site-packages /opt/wildgate/venv \
    && pip install --constraint constraints.txt ./client . 'pycuda>=2025.1' \
    && bill-of-materials && install --directory --owner 10001 --group 10001 /prepared /engines
USER 10001:10001
WORKDIR /tmp
ENTRYPOINT ["wildgate-build"]

FROM nvcr.io/nvidia/cuda:${CUDA}-devel-ubuntu24.04 AS build-rtx
ENV PIP_NO_CACHE_DIR=1 PATH=/opt/wildgate/venv/bin:$PATH
# hadolint ignore=DL3008
RUN apt-get update && apt-get install --yes --no-install-recommends build-essential python3-dev python3-venv \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY constraints.txt pyproject.toml README.md LICENSE ./
COPY client client
COPY proto proto
COPY server server
COPY build build
COPY enforcement enforcement
COPY search search
COPY deploy/images/bill_of_materials.sh /usr/local/bin/bill-of-materials
RUN python3 -m venv /opt/wildgate/venv && pip install --constraint constraints.txt ./client '.[redis,rtx,tracing]' \
    && bill-of-materials

FROM nvcr.io/nvidia/cuda:${CUDA}-base-ubuntu24.04 AS rtx
# hadolint ignore=DL3008
RUN apt-get update && apt-get install --yes --no-install-recommends libpython3.12 libseccomp2 python3 \
    && rm -rf /var/lib/apt/lists/* && install --directory --owner 10001 --group 10001 /data
COPY --from=build-rtx /opt/wildgate /opt/wildgate
COPY model_repository /opt/wildgate/model_repository
COPY deploy/images/healthy.py /opt/wildgate/healthy.py
# `video` lets NVDEC in.
ENV PATH=/opt/wildgate/venv/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility,video WILDGATE_BACKEND__PROFILE=rtx \
    WILDGATE_BACKEND__MODEL_REPOSITORY=/opt/wildgate/model_repository
USER 10001:10001
WORKDIR /tmp
ENTRYPOINT ["wildgate"]
CMD ["serve"]
HEALTHCHECK --interval=10s --timeout=5s --start-period=180s CMD ["python3", "/opt/wildgate/healthy.py"]
