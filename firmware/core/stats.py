"""Robust statistics of a few integers: one wild value moves nothing."""


def median(values):
    """Middle value; of an even count the mean of the two middle ones, rounded down."""
    ordered = sorted(values)
    half = len(ordered) // 2
    if len(ordered) & 1:
        return ordered[half]
    return (ordered[half - 1] + ordered[half]) // 2


def mad(values):
    """Median of the absolute deviations from the median."""
    middle = median(values)
    return median([abs(value - middle) for value in values])


def reject(values, k=3, floor=30):
    """Keep what lies within k robust deviations of the median, or within `floor` of it; order is kept.

    1.5 * MAD stands for the 1.4826 * MAD that equals a standard deviation of normal noise.
    """
    if not values:
        return []
    middle = median(values)
    limit = max(floor, k * 3 * mad(values) // 2)
    return [value for value in values if abs(value - middle) <= limit]
