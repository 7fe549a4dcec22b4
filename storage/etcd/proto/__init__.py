"""Messages of etcd's public API, generated from ``rundlet_etcd.proto`` beside this file.

No compiler is needed to run them. After a change of the ``.proto``, generate them in this folder::

    python -m grpc_tools.protoc -I. --python_out=. --pyi_out=. rundlet_etcd.proto
"""
