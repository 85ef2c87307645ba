# IPL Studio on the CPU, run by a user without rights, whose code nobody in the container can change.
#
#   docker compose up --build        see compose.yaml
#
# PIP_EXTRA_INDEX_URL: an index with PyTorch's wheels for CPUs alone, which PyTorch's own page of installation names.
# Without it the wheels for CUDA are taken on x86-64: they work as well, and take several gigabytes more.
FROM python:3.12-slim

ARG PIP_EXTRA_INDEX_URL=""
ENV PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 PYTHONUTF8=1 \
    GRADIO_ANALYTICS_ENABLED=False \
    HOME=/tmp \
    IPL_HOME=/data/studio \
    HF_HOME=/data/huggingface \
    TORCH_HOME=/data/torch \
    GRADIO_TEMP_DIR=/tmp/gradio

WORKDIR /app
COPY requirements.txt ./
RUN pip install --no-cache-dir --disable-pip-version-check -r requirements.txt && python -m compileall -q /usr/local/lib
COPY LICENSE README.md app.py ./
COPY ipl_core ipl_core
COPY tabs tabs
COPY pretrained pretrained
COPY examples examples
RUN chmod -R a=rX,u+w /app && python -m compileall -q /app \
    && useradd --uid 10001 --no-create-home --home-dir /tmp --shell /usr/sbin/nologin studio \
    && install -d -o 10001 -g 10001 /data

USER 10001:10001
VOLUME /data
EXPOSE 7860
# By no proxy that the environment may name. The first start loads its models, for which a slow disk takes a while.
HEALTHCHECK --interval=30s --timeout=10s --start-period=120s --retries=3 \
    CMD ["python", "-c", "import urllib.request as r; r.build_opener(r.ProxyHandler({})).open('http://127.0.0.1:7860/', timeout=8).read(1)"]
CMD ["python", "app.py", "--host", "0.0.0.0", "--port", "7860"]
