"""Serves `app` of app.py on $PORT: with gunicorn where it is installed, else with the server that Flask brings."""

import importlib
import importlib.util
import logging
import os
import signal
import sys
import traceback

HERE = os.getcwd()
HOST, PORT = os.environ.get("HOST", "0.0.0.0"), int(os.environ.get("PORT", "8080"))
THREADS = 32


def load():
    os.environ["FLASK_RUN_FROM_CLI"] = "true"  # an app.run() that stands there would take another port
    try:
        module = importlib.import_module("app")
    except Exception as error:
        sys.exit(told(error))
    for name in ("app", "application"):
        if callable(getattr(module, name, None)):
            return getattr(module, name)
    sys.exit("app.py has no `app`: add `app = Flask(__name__)`")


def told(error):
    """What went wrong in app.py, as Python tells it, without the way there."""
    trace = error.__traceback__
    while trace and trace.tb_frame.f_code.co_filename != os.path.join(HERE, "app.py"):
        trace = trace.tb_next
    return "".join(traceback.format_exception(type(error), error, trace)).replace(HERE + os.sep, "").rstrip()


def with_gunicorn(app):
    from gunicorn.app.base import BaseApplication

    class Server(BaseApplication):
        def load_config(self):
            for name, value in ("bind", f"{HOST}:{PORT}"), ("threads", THREADS), ("loglevel", "warning"):
                self.cfg.set(name, value)

        def load(self):
            return app

    Server().run()


def with_flask(app):
    from werkzeug.serving import WSGIRequestHandler, make_server

    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # not a line for each call
    WSGIRequestHandler.protocol_version = "HTTP/1.1"  # connections are kept
    make_server(HOST, PORT, app, threaded=True).serve_forever()


sys.path[:0] = [HERE, os.path.join(HERE, ".deps")]
(with_gunicorn if importlib.util.find_spec("gunicorn") else with_flask)(load())
