"""What the checks of make test-peers share: counting, running visavis, the default models in a folder of their own."""
import json
import os
import subprocess
import sys

DEFAULTS = ['mtcnn-p', 'mtcnn-r', 'mtcnn-o', 'dlib-resnet']
NEEDED = ['dlib-5point', *DEFAULTS]  # to start the program


class Count:
    passed = failed = 0

    @classmethod
    def check(cls, name, ok, what=''):
        cls.passed += bool(ok)
        cls.failed += not ok
        if not ok:
            print('FAILED: %s: %s' % (name, what), flush=True)

    @classmethod
    def end(cls):
        print('%d passed, %d failed' % (cls.passed, cls.failed))
        sys.exit(cls.failed > 0)


def run(args, *rest):
    p = subprocess.run([args.visavis, *rest, '--models', args.work], stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
    if p.returncode:
        sys.exit('%s: visavis %s: %s' % (sys.argv[0], ' '.join(rest), p.stderr.decode()))
    return [json.loads(line) for line in p.stdout.splitlines()]


def link_models(folder):
    cache = os.environ.get('XDG_CACHE_HOME') or os.path.expanduser('~/.cache')
    installed = os.environ.get('VISAVIS_MODELS') or os.path.join(cache, 'visavis', 'models')
    for name in NEEDED:
        os.symlink(os.path.abspath(os.path.join(installed, name + '.safetensors')), os.path.join(folder, name + '.safetensors'))
