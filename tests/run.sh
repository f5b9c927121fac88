#!/usr/bin/env bash
# Runs every test of a build and counts: tests/run.sh BUILD_DIR [FUZZ_BUILD_DIR]     (make test calls it)
#
#   unit, golden   BUILD_DIR/tests/{unit,golden}/test_*     cmocka; each test counts
#   fuzz           FUZZ_BUILD_DIR/tests/fuzz/fuzz_X on tests/fuzz/corpus/X     each target counts as one
#   torture        BUILD_DIR/tests/torture/torture: 30 rounds of killed and failing stores; each counts
#   cli, http      tests/cli/run.sh and tests/http/run.py on the real binary     each says "N passed, N failed" itself
#   web            tests/web/run.py: reports in headless Chromium
#
# The last line is "N passed, N failed, N skipped", alone on its line. Exit 0 only when nothing failed. A crash, a time-out, a
# missing closing line and a sanitizer's report are failures; what was skipped is listed with its reason.
# T=REGEX runs only what it matches of the names in the first column: T=warp, T='unit/|http'. With CI=true models that cannot be
# fetched are a failure, else only a notice (the tests that need them skip).
set -u
cd "$(dirname "$0")/.." || exit
build=${1:?usage: tests/run.sh BUILD_DIR [FUZZ_BUILD_DIR]}
fuzz_build=${2:-$build}
only=${T:-}
passed=0 failed=0 skipped=0
LIMIT_S=900 # one binary, under the slowest sanitizer

# Suppressions say in their own words why; both files name only libraries that are not ours.
# No detect_stack_use_after_return: gcc 12 puts 64-byte aligned locals at other addresses in its fake frames, and AVX-512 faults.
export ASAN_OPTIONS="allocator_may_return_null=1:${ASAN_OPTIONS:-}"
export LSAN_OPTIONS="suppressions=$PWD/tests/lsan.supp:print_suppressions=0:${LSAN_OPTIONS:-}"
export UBSAN_OPTIONS="print_stacktrace=1:${UBSAN_OPTIONS:-}"
export TSAN_OPTIONS="suppressions=$PWD/tests/tsan.supp:ignore_noninstrumented_modules=1:${TSAN_OPTIONS:-}"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
log=$work/log

wanted() { [[ $1 =~ $only ]]; }
# How long it took is part of the line where that is worth knowing.
started=0
line() { printf '%-44s %s%s\n' "$1" "$2" "$([ $((SECONDS - started)) -lt 10 ] || echo ", $((SECONDS - started)) s")"; }
bad() { # name, what happened: shows the output that led there
    failed=$((failed + 1))
    line "$1" "FAILED: $2"
    sed 's/^/    | /' "$log" | tail -n 60
}
how_it_ended() { # exit status -> words
    case $1 in
    127) echo "not built" ;;
    124) echo "no end after $LIMIT_S s" ;;
    12[89] | 1[3-9]?) echo "killed by signal $(($1 - 128))" ;;
    *) echo "exit status $1" ;;
    esac
}

# Models: fetched once into the user's cache. A sanitizer's binary may be unable to (the importer runs under a memory limit
# that their shadow memory exceeds), so any build that works will do.
models() {
    local v
    for v in build/release/visavis "$build/visavis"; do
        [ -x "$v" ] || continue
        "$v" model fetch --if-missing && return 0
    done
    if [ "${CI:-}" = true ]; then
        failed=$((failed + 1))
        line "model fetch" "FAILED: the default models are not here and could not be fetched"
    else
        echo "run.sh: the default models are not here and could not be fetched; tests that need them will skip"
    fi
}

# cmocka's output -> "run ok skipped closed", then a line for each skipped test: what it printed from its start is its reason.
# shellcheck disable=SC2016 # awk's $0
AWK_CMOCKA='
/\[ RUN      \]/      { run++; sub(/.*\] /, ""); name = $0; why = ""; open = 1; next }
/\[       OK \]/      { if (open) ok++; open = 0; next }
/\[  FAILED  \]/      { open = 0; next }
/\[  SKIPPED \]/      { if (open) { skipped++; text = text "    skipped " name ": " (why == "" ? "no reason given" : why) "\n" }
                        open = 0; next }
/test\(s\) run\.$/    { closed = 1 }
open                  { why = why (why == "" ? "" : " ") $0 }
END                   { print run + 0, ok + 0, skipped + 0, closed + 0; printf "%s", text }'

cmocka() { # binary
    local name=${1#"$build"/} rc run ok skip closed reasons lost
    wanted "$name" || return 0
    started=$SECONDS
    timeout -k 10 "$LIMIT_S" "$1" >"$log" 2>&1 </dev/null
    rc=$?
    { read -r run ok skip closed && reasons=$(cat); } < <(awk "$AWK_CMOCKA" "$log")
    passed=$((passed + ok)) skipped=$((skipped + skip)) lost=$((run - ok - skip))
    if [ "$rc" -eq 0 ] && [ "$lost" -eq 0 ] && [ "$closed" -eq 1 ]; then
        line "$name" "$ok passed$([ "$skip" -eq 0 ] || echo ", $skip skipped")"
    else
        bad "$name" "$(how_it_ended $rc), $lost of $run tests failed"
        [ "$lost" -le 1 ] || failed=$((failed + lost - 1))
    fi
    [ -z "$reasons" ] || printf '%s\n' "$reasons"
}

replay() { # fuzz target
    local t=${1##*/fuzz_} rc corpus=()
    wanted "fuzz/fuzz_$t" || return 0
    started=$SECONDS
    mapfile -t corpus < <(find "tests/fuzz/corpus/$t" -type f 2>/dev/null | sort)
    : >"$log"
    if [ ${#corpus[@]} -eq 0 ]; then
        bad "fuzz/$t" "tests/fuzz/corpus/$t is empty"
        return
    fi
    timeout -k 10 "$LIMIT_S" "$1" "${corpus[@]}" >"$log" 2>&1 </dev/null
    rc=$?
    if [ $rc -eq 0 ]; then
        passed=$((passed + 1))
        line "fuzz/$t" "passed (${#corpus[@]} files)"
    else
        bad "fuzz/$t" "$(how_it_ended $rc)"
    fi
}

suite() { # name, command...: a suite that ends with "N passed, N failed[, N skipped]"
    local name=$1 rc p f s closing
    shift
    wanted "$name" || return 0
    started=$SECONDS
    timeout -k 10 "$LIMIT_S" "$@" >"$log" 2>&1 </dev/null
    rc=$?
    closing=$(grep -E '^[0-9]+ passed, [0-9]+ failed(, [0-9]+ skipped)?$' "$log" | tail -n 1)
    if [ -z "$closing" ]; then
        bad "$name" "$(how_it_ended $rc), no closing line"
        return
    fi
    read -r p f s < <(echo "$closing" | sed -E 's/[^0-9]+/ /g')
    passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + ${s:-0}))
    if [ "$f" -eq 0 ] && [ $rc -ne 0 ]; then
        bad "$name" "$(how_it_ended $rc) although its closing line names no failure"
    else
        line "$name" "$closing"
        [ "$f" -eq 0 ] || sed 's/^/    | /' "$log" | tail -n 100
    fi
    grep -iE '^ *skip' "$log" | sed 's/^ */    /'
}

models
# By source, not by what lies in the build folder: a deleted test's binary must not count, a missing one must.
for t in tests/unit/test_*.c tests/golden/test_*.c; do
    [ ! -e "$t" ] || cmocka "$build/${t%.c}"
done
for t in tests/fuzz/fuzz_*.c; do
    [ ! -e "$t" ] || replay "$fuzz_build/${t%.c}"
done
[ ! -e tests/torture/torture.c ] || suite torture "$build/tests/torture/torture" 30
[ ! -e tests/cli/run.sh ] || suite cli bash tests/cli/run.sh "$build"
# Debian's own python3 by its path: the modules that the suite needs are Debian packages.
[ ! -e tests/http/run.py ] || suite http /usr/bin/python3 tests/http/run.py "$build"
[ ! -e tests/web/run.py ] || suite web /usr/bin/python3 tests/web/run.py "$build"

if [ $((passed + failed + skipped)) -eq 0 ]; then
    echo "run.sh: no test ran (BUILD_DIR $build${only:+, T=$only})"
    failed=1
fi
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
