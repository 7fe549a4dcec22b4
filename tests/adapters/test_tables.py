"""Test that tables are read by their address, and only as much of them as is asked for."""

from __future__ import annotations

import re
from collections.abc import Callable

import httpx
import pytest

from rundlet import Client
from tests.support import PATIENCE_S

fsspec = pytest.importorskip("fsspec")
numpy = pytest.importorskip("numpy")
pandas = pytest.importorskip("pandas")
pyarrow_dataset = pytest.importorskip("pyarrow.dataset")

from rundlet.adapters.fsspec import RundletFileSystem  # noqa: E402

fsspec.register_implementation("rundlet", RundletFileSystem)  # as its entry point does

COLUMNS = [f"c{number}" for number in range(16)]
ROWS = 50_000


@pytest.fixture
def frame() -> pandas.DataFrame:
    chance = numpy.random.default_rng(1)  # so that nothing of it can be compressed
    return pandas.DataFrame({column: chance.random(ROWS) for column in COLUMNS})


@pytest.fixture
def table(frame: pandas.DataFrame, address: str) -> str:
    """The address of a parquet file."""
    frame.to_parquet(f"{address}/table.parquet", row_group_size=ROWS // 4)
    return f"{address}/table.parquet"


def bytes_sent(url: str) -> int:
    """How many bytes of values the server has sent since its start."""
    row = re.compile(r'rundlet_http_response_bytes_total\{route="/v1/kv/.*method="GET"\} (\d+)')
    text = httpx.get(f"{url}/metrics", timeout=PATIENCE_S).text
    return sum(int(each) for each in row.findall(text))


def read_by_pandas(address: str) -> pandas.DataFrame:
    return pandas.read_parquet(address, columns=["c2"])


def read_by_pyarrow(address: str) -> pandas.DataFrame:
    filesystem, path = fsspec.core.url_to_fs(address)
    dataset = pyarrow_dataset.dataset(path, filesystem=filesystem)
    return dataset.to_table(columns=["c2"]).to_pandas()


def read_by_dask(address: str) -> pandas.DataFrame:
    dataframe = pytest.importorskip("dask.dataframe")
    return dataframe.read_parquet(address, columns=["c2"]).compute()


@pytest.mark.parametrize("read", [read_by_pandas, read_by_pyarrow, read_by_dask])
def test_a_column_of_a_table_is_less_than_the_table(
    table: str,
    frame: pandas.DataFrame,
    client: Client,
    read: Callable[[str], pandas.DataFrame],
):
    size = client.head(table.split("/", 3)[3]).size
    before = bytes_sent(client.url)

    found = read(table)

    assert list(found.columns) == ["c2"]
    assert (found.c2.to_numpy() == frame.c2.to_numpy()).all()
    assert 0 < bytes_sent(client.url) - before < size / 2


@pytest.mark.filterwarnings("ignore:The inplace keyword")  # dask gives it to pandas
def test_dask_writes_a_table_of_many_files(frame: pandas.DataFrame, address: str, client: Client):
    dataframe = pytest.importorskip("dask.dataframe")

    dataframe.from_pandas(frame, npartitions=3).to_parquet(f"{address}/parts")

    names = [info.key for info in client.scan(prefix=f"{address.split('/', 3)[3]}/parts/")]
    assert len(names) >= 3
    assert all(name.endswith(".parquet") for name in names)
    assert dataframe.read_parquet(f"{address}/parts").c0.sum().compute() == pytest.approx(
        frame.c0.sum()
    )
