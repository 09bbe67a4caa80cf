# A node that can play DeepMind Lab: the image, and a wheel of the engine that you have built (docs/labyrinth.md).
# From a folder with the wheel and nothing else:
#   docker build --file .../docker/labyrinth.Dockerfile --build-arg IMAGE=pathnet-rl:0.1.0-cpu \
#     --tag pathnet-rl:0.1.0-labyrinth .

ARG IMAGE=pathnet-rl:0.1.0-cpu
# hadolint ignore=DL3006
FROM $IMAGE

USER 0:0
# What the engine's software renderer is linked with.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends libosmesa6 \
    && rm -rf /var/lib/apt/lists/*
USER 1000:100
COPY --chown=1000:100 deepmind_lab-*.whl /tmp/
RUN pip install --no-cache-dir --no-deps /tmp/deepmind_lab-*.whl \
    && rm /tmp/deepmind_lab-*.whl \
    && python -c 'import deepmind_lab, os; os.stat(deepmind_lab.runfiles_path())'
