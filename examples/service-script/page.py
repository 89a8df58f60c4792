import os


def page(path, begun, process):
    if path == "/healthz":
        return "well\n"
    return f"{os.environ['GREETING']}\nprocess {process}, up since {begun}\n"
