"""What the adapters share. The adapters themselves are the modules above this folder that are named
after a framework: `asgi`, `fastapi`, `faststream`, `grpc`, `wsgi`.
"""
