"""Django behind the privacy policy: uvicorn examples.django.app:app

Set CONSENT_SECRET_KEYS first: python -c "import secrets; print(secrets.token_urlsafe(32))"
In a project of your own the last line is all there is to add to asgi.py.
"""

import secrets
from pathlib import Path

from django.conf import settings
from django.core.asgi import get_asgi_application
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path

from consent_middleware import ConsentMiddleware

PAGE = """<!doctype html><html lang="en"><head><title>Shop</title>
<script src="https://counter.example.net/count.js"></script></head><body><h1>Shop</h1></body></html>"""

settings.configure(
    SECRET_KEY=secrets.token_urlsafe(32),
    ROOT_URLCONF=__name__,
    ALLOWED_HOSTS=["localhost", "127.0.0.1"],
    MIDDLEWARE=["django.middleware.common.CommonMiddleware"],
)


async def home(request: HttpRequest) -> HttpResponse:
    """Sets both cookies without asking anybody: what was not granted does not reach the browser."""
    response = HttpResponse(PAGE)
    response.set_cookie("sid", "1", httponly=True)
    response.set_cookie("_ga", "2", max_age=86_400)
    return response


async def seen(request: HttpRequest) -> HttpResponse:
    """What this site gets to see of its visitor. Django keeps the ASGI scope in `request.scope`."""
    decision = request.scope["consent"]
    return JsonResponse({"cookies": dict(request.COOKIES), "analytics": decision.allows("analytics")})


urlpatterns = [path("", home), path("seen", seen)]
app = ConsentMiddleware(get_asgi_application(), policy=Path(__file__).parents[1] / "privacy.toml")
