"""Object stores, which the tests here share."""

from tests.object_stores import address, folder_address, moto_endpoint, rclone_endpoint

__all__ = ["address", "folder_address", "moto_endpoint", "rclone_endpoint"]
