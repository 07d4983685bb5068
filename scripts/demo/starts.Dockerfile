# The demo's image and Node: what `clipyard bench mount --exec` starts (docs/benchmarks.md).
ARG BASE
FROM ${BASE}
RUN --mount=type=secret,id=ca-bundle --mount=type=secret,id=apt-conf,target=/etc/apt/apt.conf.d/99host \
    apt-get update -qq \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends nodejs \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/*.bin /var/log/*
