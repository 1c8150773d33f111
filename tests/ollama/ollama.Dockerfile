# A stand-in for the stock Ollama image, where that cannot be pulled: the same server from its Go module, with the same
# entrypoint and paths. Without the stock image's CUDA, ROCm and Vulkan libraries: CPU only.
ARG BASE_IMAGE
# Headers that llama.cpp vendors and the module's archive leaves out.
FROM ${BASE_IMAGE} AS headers
RUN apt-get update && apt-get install -y --no-install-recommends nlohmann-json3-dev libstb-dev

FROM ${BASE_IMAGE} AS server
RUN apt-get update && apt-get install -y --no-install-recommends libstdc++6 \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/log/*
COPY ollama /bin/ollama
ENV OLLAMA_HOST=0.0.0.0:11434
EXPOSE 11434
ENTRYPOINT ["/bin/ollama"]
CMD ["serve"]
