# Every target is one line: an alias of an inv task, or of a script. GNU Make 3.81 will do.
# Variables of the command line reach the tasks as they were typed (see remote/config.py).

VENV = .venv
INV = $(VENV)/bin/inv
PYTHON = $(VENV)/bin/python
READY = $(VENV)/.ready
CLIENT = adopt connection mcp operations programs rpc tasks transport
quoted_extras = $(subst ','\'',$(extras))

# make would expand `$` in their values once more on the way into the environment.
unexport $(foreach name,$(.VARIABLES),$(if $(filter command,$(firstword $(origin $(name)))),$(name)))

# With it, each of these Pythons would compile all that it imports: seconds, for MLflow.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help install sync-push sync-pull remote-ps run format ui lab-up lab-down lab-build demo test test-fast test-client test-faults coverage check bench pictures docs docs-serve setup lock clean

help: ## show this list
	@echo "first: make install, then . .venv/bin/activate && inv doctor" && sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' Makefile | awk -F'|' '{printf "%-18s %s\n", $$1, $$2}'

sync-push: $(READY) ## send the project to the server: TARGET_DIR=user@host:/proj
	@$(INV) sync-push $(ARGS)

sync-pull: $(READY) ## copy results and MLflow records back
	@$(INV) sync-pull $(ARGS)

remote-ps: $(READY) ## list the jobs on the server
	@$(INV) remote-ps $(ARGS)

run: $(READY) ## run a notebook on this machine: input_file=train.ipynb output_file=result.ipynb epoch=100
	@$(INV) run

format: $(READY) ## run isort and black, and ruff over notebooks
	@$(INV) format $(ARGS)

ui: $(READY) ## start mlflow ui on the project's records
	@$(INV) ui $(ARGS)

lab-up: ## start JupyterLab and MLflow in containers; LAB_GPU=1 with the GPU
	@sh containers/lab.sh up

lab-down: ## remove these containers; saved files stay
	@sh containers/lab.sh down

lab-build: ## build their image from the lock files
	@sh containers/lab.sh build

demo: ## run the complete loop on this machine, with a private sshd as the GPU server
	@sh scripts/tools.sh rsync tmux ssh sshd git && $(MAKE) -s install && $(PYTHON) -m scripts.demo

test: ## install what the tests need, then run every check and test
	@sh scripts/tools.sh rsync tmux ssh sshd git && sh scripts/tools.sh --optional fish zsh tcsh chromium && { [ "$$(uname)" != Linux ] || sh scripts/tools.sh --optional dockerd mmdebstrap slurmctld slurmd sbatch munged; } && $(MAKE) -s install && $(MAKE) -s check && $(PYTHON) -m pytest -q -n auto --dist loadfile --no-loadscope-reorder $(ARGS)

test-fast: $(READY) ## run the tests that need no MLflow, no server and no job: a minute
	@$(PYTHON) -m pytest -q -n 4 -m fast $(ARGS)

test-client: $(READY) ## run the tests of what runs on the laptop, for a Mac
	@$(PYTHON) -m pytest -q -n auto -m 'not server' $(foreach folder,$(CLIENT),tests/$(folder)) tests/test_*.py $(ARGS)

test-faults: $(READY) ## kill the processes behind a command at 50 random moments: ARGS="--rounds 200 --seed 7"
	@$(PYTHON) -m pytest -v tests/faults/test_random_kills.py tests/faults/test_busy_stores.py tests/faults/test_slow_links.py --rounds 50 $(ARGS)

coverage: $(READY) ## run the tests, and print the coverage of each folder: ARGS="-m fast"
	@rm -rf .coverage && mkdir .coverage && $(PYTHON) -m coverage run -m pytest -q -n auto --dist loadfile --no-loadscope-reorder $(ARGS); code=$$?; $(PYTHON) -m scripts.coverage_by_folder; exit $$code

check: $(READY) ## black, isort, ruff, mypy, import-linter, Python 3.8 for what runs on servers, pip-audit
	@sh scripts/check.sh $(VENV)/bin

bench: $(READY) ## measure against rsync, ssh and mlflow-export-import, as ratios
	@$(PYTHON) -m bench $(ARGS)

pictures: $(READY) ## draw the documents' pictures again, from a real run
	@$(PYTHON) -m scripts.pictures

docs: $(READY) ## build the documents as a site, in docs/_build/site
	@$(PYTHON) -m scripts.site

docs-serve: $(READY) ## build and show it: ARGS="--port 8001"
	@$(PYTHON) -m scripts.site --serve $(ARGS)

install: $(READY) ## make .venv from the lock files: extras="torch lab" adds those
	@[ -z '$(quoted_extras)' ] || sh scripts/install.sh $(VENV) $(foreach extra,$(quoted_extras),'$(extra)')
# Without a tasks.py here, inv would run that of a folder above.
$(READY): $(wildcard requirements*.lock) pyproject.toml | tasks.py
	@sh scripts/install.sh $(VENV) && touch $(READY)

setup: $(READY) ## make this your project: project_name= your_name= your_email= package_name=
	@$(PYTHON) -m scripts.setup

lock: $(READY) ## update the lock files to pyproject.toml; upgrade=1 takes the newest versions
	@sh scripts/lock.sh $(VENV)/bin/uv $(if $(upgrade),--upgrade)

clean: ## remove .venv and the demonstration's server
	@rm -rf $(VENV) .demo
