"""TLS before a plain port, so that an agent is measured with the encryption it has in daily life.

tls_front.py CERTIFICATE KEY PORT BACKEND_PORT: listens on 127.0.0.1:PORT, forwards to 127.0.0.1:BACKEND_PORT.
"""

import asyncio
import ssl
import sys


async def copy(reader, writer):
    """Forwards until the one side closes; then closes the other."""
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    finally:
        writer.close()


async def main(certificate, key, port, backend):
    """Forwards each connection both ways."""

    async def forward(reader, writer):
        try:
            to_reader, to_writer = await asyncio.open_connection("127.0.0.1", backend)
        except OSError:
            writer.close()
            return
        await asyncio.gather(copy(reader, to_writer), copy(to_reader, writer))

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server = await asyncio.start_server(forward, "127.0.0.1", port, ssl=context)
    print("ready", flush=True)
    await server.serve_forever()


asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))
