# make demo   a restyled photograph in out/
# make test   everything: format, lint, types, import rules, all tests
# make check  the quick part of it: format, lint, types, import rules
# make bench  seconds and memory, as a table in docs/
# make docs   the documentation as a site in site/, every link checked
# make gallery, make reference   the pictures and the option tables of the docs

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: demo test check pytest bench docs gallery reference build clean

demo: $(VENV)/.user
	@mkdir -p out
	@$(BIN)/katazome weights fetch vgg19
	@$(BIN)/katazome stylize examples/pictures/coffee.jpg examples/pictures/wheat_field.jpg -o out/demo.png --overwrite

test: check pytest

check: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

# One thread: on tiny pictures two that wait for each other on a busy machine are many times slower.
pytest: $(VENV)/.dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest

bench: $(VENV)/.dev
	$(BIN)/python benchmarks/run.py

docs: $(VENV)/.dev
	$(BIN)/zensical build --clean --strict
	$(BIN)/python docs/check_site.py site

gallery: $(VENV)/.dev
	$(BIN)/python docs/make_gallery.py
	$(BIN)/python docs/make_parameters.py

reference: $(VENV)/.dev
	$(BIN)/python docs/make_reference.py

build: $(VENV)/.dev
	$(BIN)/python -m build --outdir dist

clean:
	rm -rf $(VENV) dist build site .cache

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.user: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) --editable '.[deep,regions]'
	@touch $@

$(VENV)/.dev: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) --editable '.[dev]'
	@touch $@ $(VENV)/.user
