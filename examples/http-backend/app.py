"""Prices of parcels, as an AWS Lambda handler behind a function URL."""

import base64
import json
import math
import time

# Euros for the first kilogram and for each one more, by country.
RATES = {"DE": (5, 1), "AT": (7, 2), "US": (19, 9)}


def handler(event, context):
    method, path = event["requestContext"]["http"]["method"], event["rawPath"]
    if method == "GET" and path == "/rates":
        return answer(200, {country: {"first": first, "more": more} for country, (first, more) in RATES.items()})
    if method == "POST" and path == "/quote":
        return quote(text(event))
    # What a client sees of code that fails, and of code that takes too long.
    if path == "/broken":
        raise RuntimeError("this route is broken")
    if path == "/slow":
        time.sleep(5)
    return answer(404, {"error": f"there is no {method} {path}"})


def text(event):
    """The body. What its sender does not call text or JSON is in base64, as behind every function URL."""
    body = event.get("body") or ""
    return base64.b64decode(body).decode() if event["isBase64Encoded"] else body


def quote(body):
    try:
        parcel = json.loads(body)
        country, kilograms = parcel["country"], float(parcel["kilograms"])
    except (ValueError, TypeError, KeyError):
        return answer(400, {"error": 'send a parcel, such as {"country": "DE", "kilograms": 2.5}'})
    if country not in RATES:
        return answer(422, {"error": "we do not deliver to that country"})
    if not 0 < kilograms <= 30:
        return answer(422, {"error": "a parcel has more than 0 and at most 30 kilograms"})
    first, more = RATES[country]
    # Each kilogram that is begun counts.
    return answer(200, {"country": country, "euros": first + more * (math.ceil(kilograms) - 1)})


def answer(status, value):
    return {"statusCode": status, "headers": {"content-type": "application/json"}, "body": json.dumps(value)}
