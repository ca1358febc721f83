"""Every call arrives here as an HTTP request; what is returned is the answer."""

from flask import Flask, request

app = Flask(__name__)


@app.route("/", methods=["GET", "POST"])
def hello():
    name = request.get_data(as_text=True) or "World"
    return f"Hello, {name}!\n"
