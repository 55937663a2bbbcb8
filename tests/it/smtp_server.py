"""A mail server (aiosmtpd) for tests: demands STARTTLS and a password; prints each letter as a line of JSON.

usage: smtp_server.py CERTIFICATE PRIVATE_KEY USERNAME PASSWORD
Prints its port first. A recipient whose address begins with "busy" is refused for now the first time.
"""

import email
import json
import socket
import ssl
import sys
import threading
from email import policy

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult

certificate, private_key, username, password = sys.argv[1:5]
refused = set()


class Letters:
    async def handle_RCPT(self, server, session, envelope, address, options):
        if address.startswith("busy") and address not in refused:
            refused.add(address)
            return "450 come back later"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        letter = email.message_from_bytes(envelope.content, policy=policy.default)
        told = {
            "to": envelope.rcpt_tos,
            "from": envelope.mail_from,
            "subject": letter["subject"],
            "text": letter.get_content(),
            "tls": session.ssl is not None,
        }
        print(json.dumps(told), flush=True)
        return "250 OK"


def authenticate(server, session, envelope, mechanism, data):
    given = (getattr(data, "login", b"").decode(), getattr(data, "password", b"").decode())
    return AuthResult(success=given == (username, password))


with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    port = free.getsockname()[1]
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(certificate, private_key)
controller = Controller(
    Letters(),
    hostname="127.0.0.1",
    port=port,
    tls_context=context,
    require_starttls=True,
    auth_required=True,
    authenticator=authenticate,
)
controller.start()
print(port, flush=True)
threading.Event().wait()
