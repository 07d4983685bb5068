# The demo's image: Python with numpy and scipy on the Debian base. What the machine needs to reach its registries
# (a private CA, proxies) comes in as secret mounts and leaves no trace in a layer; see `clipyard build --help`, --ca-bundle.
ARG BASE
FROM ${BASE}
RUN --mount=type=secret,id=ca-bundle --mount=type=secret,id=apt-conf,target=/etc/apt/apt.conf.d/99host \
    apt-get update -qq \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends python3 python3-pip \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/*.bin /var/log/*
RUN --mount=type=secret,id=ca-bundle --mount=type=secret,id=pip-conf,target=/etc/pip.conf \
    PIP_CERT=/run/secrets/ca-bundle pip install --no-cache-dir --disable-pip-version-check --root-user-action=ignore \
    --break-system-packages numpy==2.2.6 scipy==1.15.3
COPY app /app
WORKDIR /app
CMD ["python3", "hello.py"]
