# visavis in a container: the same steps as `make run` (deploy/install-deps.sh, make, model fetch), in stages.
#
#   docker build -t visavis .
#   docker run -p 8080:8080 -v visavis:/var/lib/visavis visavis      prints an API key once, on its first start
#
# The default models (MIT and CC0) are fetched while the image is built, so that a container starts without the network.
FROM debian:bookworm-slim AS build
WORKDIR /src
COPY deploy/install-deps.sh deploy/
RUN deploy/install-deps.sh run
COPY . .
RUN make -j"$(nproc)" all && make install DESTDIR=/out PREFIX=/usr/local
RUN VISAVIS_MODELS=/out/usr/local/share/visavis/models /out/usr/local/bin/visavis model fetch

FROM debian:bookworm-slim
RUN apt-get update \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
    libmicrohttpd12 libjansson4 libsqlite3-0 libzip4 libjpeg62-turbo libspng0 libwebp7 libwebpdemux2 libnettle8 \
    zlib1g libcairo2 libopenblas0-openmp libdnnl2 libgomp1 \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --uid 10001 --home-dir /var/lib/visavis --create-home --shell /usr/sbin/nologin visavis
COPY --from=build /out/usr/local /usr/local
COPY deploy/docker-entrypoint.sh deploy/docker-health.sh /usr/local/bin/
ENV VISAVIS_LISTEN=0.0.0.0:8080 VISAVIS_DATA=/var/lib/visavis VISAVIS_MODELS=/usr/local/share/visavis/models
USER 10001
VOLUME /var/lib/visavis
EXPOSE 8080
# Ready only after a real inference: opening the networks takes a moment on a small machine.
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s CMD ["docker-health.sh"]
ENTRYPOINT ["docker-entrypoint.sh"]
CMD ["serve"]
