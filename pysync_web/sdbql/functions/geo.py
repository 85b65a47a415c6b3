"""Distances on the Earth as a sphere, and polygons.

A point is ``{lat, lon}``, GeoJSON, or an array: ``[lat, lon]`` alone, but ``[lon, lat]`` as a corner of a polygon,
as SoliDB has it.
"""

from __future__ import annotations

from math import asin, cos, isfinite, radians, sin, sqrt
from typing import Any, Final

from .arguments import a_real, an_array, kind_of
from .registry import Context, FunctionError, function

EARTH_RADIUS_M: Final = 6_371_000.0
_LATITUDES = ("lat", "latitude")
_LONGITUDES = ("lon", "lng", "longitude")


@function("DISTANCE", least=4, most=4)
def distance(lat1: Any, lon1: Any, lat2: Any, lon2: Any) -> float:
    """Give the metres between two places, by the haversine formula."""
    return _haversine((a_real(lat1, 1), a_real(lon1, 2)), (a_real(lat2, 3), a_real(lon2, 4)))


@function("GEO_DISTANCE", least=2, most=2)
def geo_distance(first: Any, second: Any) -> float:
    """Give the metres between two points, by the haversine formula."""
    return _haversine(_point(first, 1), _point(second, 2))


@function("GEO_WITHIN", least=2, most=2, needs_context=True)
def geo_within(ctx: Context, point: Any, polygon: Any) -> bool:
    """Tell whether a point lies in a polygon: a ray from it crosses the sides an odd number of times."""
    lat, lon = _point(point, 1)
    corners = _corners(polygon)
    ctx.spend(len(corners))
    if len(corners) < 3:
        raise FunctionError("a polygon has three or more corners")
    is_inside = False
    lat1, lon1 = corners[-1]
    for lat2, lon2 in corners:
        if (lat1 > lat) != (lat2 > lat) and lon < (lon1 - lon2) * ((lat - lat2) / (lat1 - lat2)) + lon2:
            is_inside = not is_inside
        lat1, lon1 = lat2, lon2
    return is_inside


def _corners(polygon: Any) -> list[tuple[float, float]]:
    if type(polygon) is dict and polygon.get("type") == "Polygon":
        rings = polygon.get("coordinates")
        polygon = rings[0] if type(rings) is list and rings else None
    return [_point(corner, 2, is_corner=True) for corner in an_array(polygon, 2)]


def _point(value: Any, place: int, *, is_corner: bool = False) -> tuple[float, float]:
    """Read latitude and longitude."""
    if type(value) is dict and value.get("type") == "Point":
        value, is_corner = value.get("coordinates"), True
    if type(value) is list and len(value) >= 2:
        lat, lon = (value[1], value[0]) if is_corner else (value[0], value[1])
    elif type(value) is dict:
        lat, lon = _member(value, _LATITUDES), _member(value, _LONGITUDES)
    else:
        raise FunctionError(f"argument {place} must be a point such as {{lat, lon}}, not {kind_of(value)}")
    return _degrees(lat, place), _degrees(lon, place)


def _member(value: dict[str, Any], names: tuple[str, ...]) -> Any:
    return next((value[name] for name in names if name in value), None)


def _degrees(value: Any, place: int) -> float:
    if (type(value) is not int and type(value) is not float) or not -1e9 <= value <= 1e9:
        raise FunctionError(f"argument {place} is no point: latitude and longitude are numbers of degrees")
    return float(value)


def _haversine(first: tuple[float, float], second: tuple[float, float]) -> float:
    if not all(map(isfinite, (*first, *second))):
        raise FunctionError("latitude and longitude are finite numbers")
    (lat1, lon1), (lat2, lon2) = first, second
    half_lat, half_lon = radians(lat2 - lat1) / 2, radians(lon2 - lon1) / 2
    share = sin(half_lat) ** 2 + cos(radians(lat1)) * cos(radians(lat2)) * sin(half_lon) ** 2
    return 2 * EARTH_RADIUS_M * asin(sqrt(min(1.0, max(0.0, share))))
