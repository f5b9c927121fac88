# make            build visavis            make run         install what is missing, fetch the models, serve
# make test       all tests; T=warp: some  make check       + style, layers, debug, asan and tsan builds
# make bench      micro-benchmarks         make bench-peers speed beside the Python programs (venv under build/)
# make torture ROUNDS=300 the store, killed and on failing disks
# make fuzz T=png SECS=60                  make test-fresh  make run and make test in a clean Debian chroot
# make test-peers networks beside ONNX Runtime, clusters beside scikit-learn (venvs under build/)
# make install PREFIX= DESTDIR=            make deps, fmt, tidy, layers, headers, cov, clean
# V=1 shows whole commands. Pick a variant with BUILD=release|debug|asan|tsan|cov; each has its own build/$(BUILD).
SHELL   := /bin/bash
BUILD   ?= release
ifeq ($(origin CC),default)
CC      := gcc
endif
O       := build/$(BUILD)
PKGS    := libmicrohttpd jansson sqlite3 libzip libjpeg spng libwebp libwebpdemux nettle cairo zlib
WARN    := -Wall -Wextra -Wshadow -Wvla -Wstrict-prototypes -Wmissing-prototypes \
           -Wpointer-arith -Wwrite-strings -Wformat=2 -Wundef -fno-common
OPT.release := -O3 -g -D_FORTIFY_SOURCE=2
OPT.debug   := -O0 -g3
OPT.asan    := -O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=all
OPT.tsan    := -O1 -g -fno-omit-frame-pointer -fsanitize=thread
OPT.cov     := -O0 -g --coverage
$(if $(OPT.$(BUILD)),,$(error unknown BUILD=$(BUILD)))

# What installs packages, or leaves the building to a make of its own, must not need the packages that it installs.
NOPKG := $(if $(MAKECMDGOALS),$(if $(filter-out deps clean help test-fresh run test check layers fmt fmt-check,$(MAKECMDGOALS)),,1))
ifeq ($(NOPKG),)
$(foreach p,$(PKGS),$(if $(shell pkg-config --exists $(p) 2>/dev/null && echo 1),,$(error $(p) is missing: make deps)))
endif
VERSION := $(shell git describe --always --dirty 2>/dev/null || echo unknown)

# OpenBLAS: the OpenMP build, by path (Debian's alternatives would take the pthread build where both are installed).
BLASDIR := $(firstword $(wildcard /usr/lib/$(shell $(CC) -print-multiarch 2>/dev/null)/openblas-openmp))

# Ours, kept apart from CFLAGS/LDFLAGS so that `make CFLAGS=...` adds to these and does not replace them.
ccflags := -I. -D_GNU_SOURCE -std=c11 -fvisibility=hidden -fstack-protector-strong -fPIE $(WARN) \
           $(if $(DEVELOPER),-Werror) $(OPT.$(BUILD)) \
           $(if $(NOPKG),,$(shell pkg-config --cflags $(PKGS))) $(CPPFLAGS) $(CFLAGS)
ldflags := -pie -Wl,-z,relro,-z,now -Wl,-rpath,$(BLASDIR) $(filter -fsanitize% --coverage,$(OPT.$(BUILD))) $(LDFLAGS)
ldlibs  := $(if $(NOPKG),,$(shell pkg-config --libs $(PKGS))) $(BLASDIR)/libopenblas.so -ldnnl -lgomp -lm -pthread $(LDLIBS)

IMPORT := $(shell find engine/model/import -name '*.c' | sort)
ENGINE := $(filter-out $(IMPORT),$(shell find engine -name '*.c' | sort))
SERVER := $(filter-out server/main.c,$(shell find server -name '*.c' | sort)) $(O)/gen/migrations.c $(O)/gen/assets.c
UNIT   := $(wildcard tests/unit/test_*.c tests/golden/test_*.c)
FUZZ   := $(wildcard tests/fuzz/fuzz_*.c)
BENCH  := $(wildcard tests/bench/bench_*.c)
# Programs of the tests that are neither unit tests nor fuzz targets nor benches.
OTHER  := $(wildcard tests/http/*_server.c tests/peers/*_driver.c tests/web/*_driver.c) tests/torture/torture.c
DRIVER := $(patsubst %.c,$(O)/%,$(wildcard tests/peers/*_driver.c))
obj     = $(patsubst %.c,$(O)/%.o,$(patsubst $(O)/%,%,$(1)))
ENGINE_A := $(O)/libengine.a
IMPORT_A := $(O)/libimport.a
SERVER_A := $(O)/libserver.a

say = $(if $(V),,@echo '  $(1) $(patsubst build/%,%,$@)';)
all: $(O)/visavis $(O)/visavis-import
$(O)/visavis: $(call obj,server/main.c) $(SERVER_A) $(ENGINE_A)
$(O)/visavis-import: $(call obj,engine/model/import/main.c) $(IMPORT_A) $(ENGINE_A)
$(ENGINE_A): $(call obj,$(ENGINE))
$(IMPORT_A): $(call obj,$(filter-out %/main.c,$(IMPORT)))
$(SERVER_A): $(call obj,$(SERVER))
$(O)/visavis $(O)/visavis-import $(UNIT:%.c=$(O)/%) $(FUZZ:%.c=$(O)/%) $(BENCH:%.c=$(O)/%) $(OTHER:%.c=$(O)/%):
	$(call say,LD) $(CC) $(ldflags) -o $@ $(filter %.o,$^) $(filter %.a,$^) $(ldlibs) $(EXTRA_LIBS)
%.a:
	$(call say,AR) rm -f $@ && $(AR) rcs $@ $^

# Objects also depend on the flags they were built with: edit CFLAGS, get a rebuild.
FLAGS := $(CC) $(ccflags)
$(O)/flags: FORCE
	@mkdir -p $(@D); echo '$(FLAGS)' | cmp -s - $@ || echo '$(FLAGS)' > $@
$(O)/%.o: %.c $(O)/flags
	@mkdir -p $(@D)
	$(call say,CC) $(CC) $(ccflags) -MMD -MP -c -o $@ $<
$(O)/server/main.o: private ccflags += -DVISAVIS_VERSION='"$(VERSION)"'
$(O)/gen/%.o: $(O)/gen/%.c $(O)/flags
	$(call say,CC) $(CC) $(ccflags) -MMD -MP -c -o $@ $<

# migrations/NNNN_name.sql -> a C table of {version, name, sql}; a gap or a repeat stops the build.
$(O)/gen/migrations.c: $(wildcard migrations/*.sql) migrations Makefile
	@mkdir -p $(@D)
	@{ n=0; echo '/* Generated from migrations/ by make. */'; echo '#include "server/store/migrate.h"'; \
	   echo 'const struct migration store_migrations[] = {'; \
	   for f in $(sort $(wildcard migrations/*.sql)); do n=$$((n+1)); b=$${f#migrations/}; \
	     test $$((10#$${b%%_*})) -eq $$n || { echo "$$f: expected number $$n" >&2; exit 1; }; \
	     printf '{ %d, "%s",\n' $$n $$b; sed 's/\\/\\\\/g; s/"/\\"/g; s/.*/"&\\n"/' $$f; echo '},'; \
	   done; echo '{ 0, 0, 0 } };'; } > $@.tmp && mv $@.tmp $@

# Files that the binary carries -> C arrays (server/assets.h names them).
ASSETS := openapi.yaml $(wildcard deploy/models/*.json deploy/models/*.safetensors) $(wildcard server/web/report*)
$(O)/gen/assets.c: $(ASSETS) Makefile
	@mkdir -p $(@D)
	@{ echo '/* Generated from $(ASSETS) by make. */'; echo '#include "server/assets.h"'; \
	   i=0; for f in $(ASSETS); do i=$$((i+1)); echo "static const unsigned char a$$i[] = {"; \
	     od -An -v -tu1 $$f | sed 's/  */ /g; s/^ //; s/ /,/g; s/$$/,/'; echo '0};'; done; \
	   echo 'const struct asset assets[] = {'; \
	   i=0; for f in $(ASSETS); do i=$$((i+1)); echo "{\"$$f\", (const char *)a$$i, sizeof a$$i - 1},"; done; \
	   echo '{0, 0, 0}};'; } > $@.tmp && mv $@.tmp $@

$(UNIT:%.c=$(O)/%): EXTRA_LIBS := -lcmocka
# Tests that refuse allocations one by one stand between a program and these.
$(O)/tests/golden/test_nomem $(O)/tests/unit/test_store_nomem: private ldflags += $(foreach f,malloc calloc realloc aligned_alloc,-Wl,--wrap=$(f))
$(O)/tests/unit/test_index_memory: private ldflags += $(foreach f,malloc calloc realloc aligned_alloc free,-Wl,--wrap=$(f))
$(O)/tests/unit/test_gallery $(O)/tests/unit/test_clusters_memory: private ldflags += $(foreach f,malloc calloc realloc reallocarray aligned_alloc strdup,-Wl,--wrap=$(f))
$(O)/tests/unit/test_enrol: private ldflags += -Wl,--wrap=json_loadb
$(O)/tests/torture/torture $(O)/tests/bench/bench_store: $(call obj,tests/torture/faulty_vfs.c)
$(O)/tests/torture/torture: $(call obj,tests/torture/crowd.c)
$(foreach t,$(UNIT) $(BENCH) $(OTHER),$(eval $(O)/$(t:.c=): $(call obj,$(t)) $(SERVER_A) $(IMPORT_A) $(ENGINE_A)))
# Outside libFuzzer each target gets a plain main() that replays its corpus, so gcc + asan run it in `make test`.
$(foreach t,$(FUZZ),$(eval $(O)/$(t:.c=): $(call obj,$(t)) $(call obj,tests/fuzz/standalone.c) $(SERVER_A) $(IMPORT_A) $(ENGINE_A)))

# The corpora are replayed under asan whatever the variant: foreign bytes are where a read too far hides.
JOBS ?= $(shell nproc 2>/dev/null || echo 1)
parallel = $(if $(findstring -j,$(MAKEFLAGS)),,-j$(JOBS))
tests-built: $(UNIT:%.c=$(O)/%) $(OTHER:%.c=$(O)/%) all
fuzz-built: $(FUZZ:%.c=$(O)/%)
test: deps
	@echo "make test: building ($(BUILD)), and the fuzz targets (asan)"
	@$(MAKE) --no-print-directory $(parallel) tests-built
	@$(MAKE) --no-print-directory $(parallel) BUILD=asan fuzz-built
	@tests/run.sh $(O) build/asan
run:
	@deploy/install-deps.sh run
	@echo "make run: building"
	@$(MAKE) --no-print-directory $(parallel) all
	@$(O)/visavis model fetch --if-missing
	@exec $(O)/visavis serve
deps:
	@deploy/install-deps.sh
PREFIX ?= /usr/local
install: all
	install -D -t $(DESTDIR)$(PREFIX)/bin $(O)/visavis $(O)/visavis-import
	install -D -m 644 -t $(DESTDIR)$(PREFIX)/lib/systemd/system deploy/visavis.service
bench: $(BENCH:%.c=$(O)/%) all
	@set -e; for t in $(BENCH:%.c=$(O)/%); do $$t; done
torture: $(O)/tests/torture/torture
	$(O)/tests/torture/torture $(or $(ROUNDS),300)
bench-peers: all $(O)/tests/bench/bench_face $(O)/tests/bench/bench_train $(DRIVER)
	@tests/peers/run.sh $(O)
test-peers: all $(DRIVER)
	@tests/peers/test.sh $(O)
test-fresh:
	@tests/fresh.sh
# clang's omp.h comes with another package; these are the two functions of it that are called.
fuzz: $(filter $(O)/gen/%,$(SERVER))
	@mkdir -p build/fuzz/include build/fuzz/corpus-$(T)
	@printf 'void omp_set_num_threads(int);\nint omp_get_max_threads(void);\n' > build/fuzz/include/omp.h
	clang -I. -Ibuild/fuzz/include -D_GNU_SOURCE -std=c11 -g -O1 -fsanitize=fuzzer,address,undefined $(ENGINE) $(filter-out %/main.c,$(IMPORT)) $(SERVER) tests/fuzz/fuzz_$(T).c -o build/fuzz/fuzz_$(T) -Wl,-rpath,$(BLASDIR) $(ldlibs)
	build/fuzz/fuzz_$(T) -max_total_time=$(or $(SECS),60) build/fuzz/corpus-$(T) tests/fuzz/corpus/$(T)

# The arrow is one way: server -> engine -> engine/base. Inside server only the public headers of engine/ and engine/base are seen.
layers:
	@! grep -rnE '#include "server/(api|cli|jobs|http)/' server/store
	@! grep -rnE '#include "server/(api|cli|http)/' server/jobs
	@! grep -rn '#include "server/' engine
	@! grep -rn '#include "engine/' engine/base | grep -v '"engine/base/'
	@! grep -rn '#include "engine/' engine/image | grep -vE '"engine/(base|image)/'
	@! grep -rn '#include "engine/' engine/nn | grep -vE '"engine/(base|nn)/'
	@! grep -rn '#include "engine/' engine/model | grep -vE '"engine/(base|nn|model)/'
	@! grep -rn '#include "engine/' engine/match | grep -vE '"engine/(base/|match)'
	@! grep -rn '#include "engine/' engine/cluster | grep -vE '"engine/(base/|cluster)'
	@! grep -rnE '#include "server/(store|jobs|cli|http|gallery)/' server/report
	@! grep -rn '#include "engine/' engine/train | grep -vE '"engine/(base|image|nn|model|train)/|"engine/(match|train)\.h'
	@! grep -rn '#include "engine/' server | grep -vE '"engine/((engine|match|cluster|train)\.h|base/)'
	@! grep -rnE '#include <(microhttpd|sqlite3)' engine
	@! grep -rn '#include <jansson' engine | grep -vE '^engine/(model|match|base)/'
	@! grep -rn '#include <microhttpd' server | grep -v '^server/http/'
	@! grep -rn '#include <sqlite3'    server | grep -v '^server/store/'
	@! grep -rn '#include <zip.h>'     server | grep -v '^server/clusters/archive.c'
	@! grep -rnE '#include "server/(api|cli|http|jobs)/' server/clusters
	@! grep -rn '#include "server/http' server/store server/api server/cli | grep -vE 'server/http/(request|reply|http)\.h'
headers:
	@set -e; for h in $$(find engine server -name '*.h' ! -name 'simd_impl*' ! -name 'ops_*'); do $(CC) $(ccflags) -Werror -fsyntax-only -x c $$h; done
fmt:
	clang-format -i $$(git ls-files '*.c' '*.h')
fmt-check:
	@clang-format --dry-run --Werror $$(git ls-files '*.c' '*.h')
tidy:
	clang-tidy -quiet $$(git ls-files 'engine/*.c' 'server/*.c') -- $(filter-out -fstack% -fPIE,$(ccflags))
check: deps layers fmt-check
	$(MAKE) headers
	$(MAKE) BUILD=debug DEVELOPER=1 test
	$(MAKE) BUILD=asan  DEVELOPER=1 test
	$(MAKE) BUILD=tsan  DEVELOPER=1 test
cov:
	$(MAKE) BUILD=cov test && gcovr -r . build/cov --print-summary
help:
	@sed -n '1,/^SHELL/{/^#/p}' Makefile
clean:
	rm -rf build
.PHONY: all test tests-built fuzz-built run deps install bench bench-peers test-peers test-fresh torture fuzz layers headers fmt fmt-check tidy check cov help clean FORCE
.DELETE_ON_ERROR:
.SECONDARY:
-include $(shell find $(O) -name '*.d' 2>/dev/null)
