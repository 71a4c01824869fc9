"""Between numpy arrays and the columns of the Parquet tables that hold them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

Tables = Mapping[str, pa.Table]


def listed(values: NDArray[Any]) -> pa.Array:
    """The rows of an array [N, C] as lists of equal length."""
    flat = pa.array(np.ascontiguousarray(values).ravel())
    return pa.FixedSizeListArray.from_arrays(flat, values.shape[1])


def array(column: Any, *shape: int) -> NDArray[Any]:
    """A column of numbers, or of lists of them, as a fresh array of that shape."""
    whole = column.combine_chunks()
    if isinstance(whole, pa.ChunkedArray):
        whole = pa.concat_arrays(whole.chunks)
    if pa.types.is_fixed_size_list(whole.type):
        whole = whole.flatten()
    return np.array(whole.to_numpy(zero_copy_only=False)).reshape(shape)


def clean(text: str) -> str:
    """The text with «?» for halves of surrogate pairs, which no file can hold."""
    return text.encode("utf-8", "replace").decode("utf-8")
