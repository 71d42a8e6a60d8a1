"""D1's wire protocols over HTTP: one ASGI application, which knows neither Ray nor how it is served."""
