# A stand-in for the stock LiteLLM image, where that cannot be pulled: the same program from its wheels, with the same
# entrypoint and paths. Without the stock image's Prisma engine, so without its database mode.
ARG BASE_IMAGE
FROM ${BASE_IMAGE} AS build
COPY wheels/ /wheels/
# Compiled here, because a read-only root cannot keep what Python compiles; unchecked, because nothing changes there.
RUN python3 -m venv /opt/pip && python3 -m venv --without-pip /opt/venv \
 && /opt/pip/bin/pip --quiet --python /opt/venv/bin/python3 install --no-index --no-deps --no-compile /wheels/*.whl \
 && find /opt/venv/lib -type d -name tests -prune -exec rm -rf {} + \
 && python3 -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/venv/lib

FROM ${BASE_IMAGE}
COPY --from=build /opt/venv /opt/venv
COPY prod_entrypoint.sh /app/docker/
WORKDIR /app
ENV PATH=/opt/venv/bin:$PATH
EXPOSE 4000
ENTRYPOINT ["docker/prod_entrypoint.sh"]
CMD ["--port", "4000"]
