"""A Valkey that lets in who names user and password, and TLS in front of it."""

import asyncio
import contextlib
import ipaddress
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import redis
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests import servers
from tests.servers import RedisServer, own_redis_server

ADDRESS = "127.0.0.1"
PASSWORD, ADMIN_PASSWORD = "hush-hush", "hush-admin"
USERS = f"""user default on >{ADMIN_PASSWORD} ~* &* +@all
user economy on >{PASSWORD} ~economy:* +@all -@admin -@dangerous +info
user celery on >{PASSWORD} ~* &* +@all -@admin
"""


@dataclass(frozen=True)
class Authority:
    """Who signs certificates; `file` is what a client trusts."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate
    file: Path

    @classmethod
    def create(cls, file: Path) -> "Authority":
        key = ec.generate_private_key(ec.SECP256R1())
        extension = x509.BasicConstraints(ca=True, path_length=0)
        usage = x509.KeyUsage(
            digital_signature=True,
            content_commitment=False,
            key_encipherment=False,
            data_encipherment=False,
            key_agreement=False,
            key_cert_sign=True,
            crl_sign=True,
            encipher_only=False,
            decipher_only=False,
        )
        builder = _certificate(file.stem, file.stem, key)
        builder = builder.add_extension(extension, critical=True).add_extension(usage, True)
        certificate = builder.sign(key, hashes.SHA256())
        file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        return cls(key, certificate, file)

    def certify(self, name: x509.GeneralName) -> ssl.SSLContext:
        """Of a server with that name."""
        key = ec.generate_private_key(ec.SECP256R1())
        builder = _certificate("redis", self.file.stem, key)
        builder = builder.add_extension(x509.SubjectAlternativeName([name]), critical=False)
        certificate = builder.sign(self.key, hashes.SHA256())
        file = self.file.with_suffix(".server")
        file.write_bytes(
            certificate.public_bytes(serialization.Encoding.PEM)
            + key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file)
        return context


OF_THE_ADDRESS = x509.IPAddress(ipaddress.ip_address(ADDRESS))
OF_ANOTHER = x509.DNSName("redis.example")


def _certificate(
    subject: str, issuer: str, key: ec.EllipticCurvePrivateKey
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return x509.CertificateBuilder(
        issuer_name=x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]),
        subject_name=x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)]),
        public_key=key.public_key(),
        serial_number=x509.random_serial_number(),
        not_valid_before=now - timedelta(hours=1),
        not_valid_after=now + timedelta(hours=1),
    )


@dataclass
class SecuredRedis:
    server: RedisServer
    port: int = 0

    def url(self, authority: Authority, user: str = "economy", password: str = PASSWORD) -> str:
        return f"rediss://{user}:{password}@{ADDRESS}:{self.port}/0?ssl_ca_certs={authority.file}"

    def start(self) -> None:
        self.server.start("--aclfile", str(self.server.folder / "users"))

    @contextlib.contextmanager
    def administered(self) -> Iterator[redis.Redis]:
        with redis.Redis.from_url(self.server.url, password=ADMIN_PASSWORD) as admin:
            yield admin


@contextlib.contextmanager
def secured_redis(context: ssl.SSLContext) -> Iterator[SecuredRedis]:
    """To be called in the main thread, as the servers are."""
    with own_redis_server() as server:
        server.kill()
        (server.folder / "users").write_text(USERS, encoding="utf-8")
        secured = SecuredRedis(server)
        secured.start()
        with tls_in_front_of(server, context) as port:
            secured.port = port
            yield secured


@contextlib.contextmanager
def tls_in_front_of(server: RedisServer, context: ssl.SSLContext) -> Iterator[int]:
    """The port where TLS is spoken, whether the server runs or not.

    On a thread of its own: a test may wait for processes that need it.
    """
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    proxy = _TlsProxy(server.folder / "valkey.sock")
    try:
        yield asyncio.run_coroutine_threadsafe(proxy.start(context), loop).result(servers.TIMEOUT)
    finally:
        asyncio.run_coroutine_threadsafe(proxy.stop(), loop).result(servers.TIMEOUT)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


class _TlsProxy:
    def __init__(self, socket: Path) -> None:
        self._socket = socket
        self._connections: set[asyncio.Task[None]] = set()

    async def start(self, context: ssl.SSLContext) -> int:
        self._server = await asyncio.start_server(self._accept, ADDRESS, 0, ssl=context)
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def stop(self) -> None:
        self._server.close()
        for connection in self._connections:
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._carry(reader, writer))
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Until either side has gone."""
        with contextlib.suppress(OSError):
            answers, commands = await asyncio.open_unix_connection(self._socket)
            ways = [
                asyncio.create_task(_copy(reader, commands)),
                asyncio.create_task(_copy(answers, writer)),
            ]
            try:
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for way in ways:
                    way.cancel()
                commands.transport.abort()
        writer.transport.abort()


async def _copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await source.read(1 << 16):
            target.write(data)
            await target.drain()
