# One image for every process: `docker run IMAGE python -m api`, `python -m jobs`, `python -m scheduler`.

FROM python:3.11-slim AS environment
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv /environment
ENV PATH=/environment/bin:$PATH
COPY requirements.txt .
RUN pip install -r requirements.txt

FROM python:3.11-slim
ENV PATH=/environment/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    API_HOST=0.0.0.0 DATA_DIR=/data
RUN useradd --system --uid 10001 --home-dir /service queue \
    && install --directory --owner queue /data
COPY --from=environment /environment /environment
WORKDIR /service
COPY . .
USER queue
VOLUME /data
EXPOSE 8000
STOPSIGNAL SIGTERM
CMD ["python", "-m", "api"]
