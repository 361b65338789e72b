# The page and the HTTP interface, on CPUs:
#
#   docker build -t realesrgan .
#   docker run --rm -e REALESRGAN_TOKEN -p 8000:8000 -v realesrgan:/data realesrgan
#
# Written by the instructions of README.md, which are tested; the image itself was not built here.
FROM python:3.12-slim

# A compiler, for the kernels; it could be left out, as the installation would fetch one.
RUN apt-get update && apt-get install -y --no-install-recommends g++ && rm -rf /var/lib/apt/lists/*

WORKDIR /app
COPY requirements.txt requirements-web.txt ./
# pytorch.org names an index with builds for CPUs; without it, torch brings gigabytes of CUDA along:
#   docker build --build-arg CPU_INDEX=… -t realesrgan .
ARG CPU_INDEX=
RUN pip install --no-cache-dir torch==2.13.0 ${CPU_INDEX:+--index-url "$CPU_INDEX"} \
    && pip install --no-cache-dir -r requirements.txt -r requirements-web.txt
COPY . .
RUN pip install --no-cache-dir --no-deps .

# Jobs and downloaded weights are kept in /data.
RUN useradd --create-home restorer && mkdir /data && chown restorer /data
USER restorer
WORKDIR /data
ENV REALESRGAN_CACHE=/data/weights
VOLUME /data
EXPOSE 8000
CMD ["realesrgan", "serve", "--host", "0.0.0.0", "--folder", "/data/server"]
