"""A real SMTP server for the tests: aiosmtpd, told by one JSON argument how to behave.

{"tls": "none|starttls|tls", "certificate": path, "key": path, "user": text, "password": text,
 "answers": ["451 later", ...]}

Prints {"port": n} first, then one JSON line for every mail it was given, with what it answered.
"""

import asyncio
import json
import ssl
import sys

from aiosmtpd.smtp import SMTP, AuthResult


def say(line):
    print(json.dumps(line), flush=True)


class Mailbox:
    def __init__(self, answers):
        self.answers = list(answers)

    async def handle_DATA(self, server, session, envelope):
        answer = self.answers.pop(0) if self.answers else "250 taken"
        say({
            "from": envelope.mail_from,
            "to": envelope.rcpt_tos,
            "content": envelope.content.decode("utf-8", "replace"),
            "encrypted": session.ssl is not None or server.transport.get_extra_info("sslcontext") is not None,
            "authenticated": bool(session.authenticated),
            "answer": answer,
        })
        return answer


async def main():
    how = json.loads(sys.argv[1])
    context = None
    if how["tls"] != "none":
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(how["certificate"], how["key"])

    def authenticate(server, session, envelope, mechanism, given):
        login, password = given.login.decode(), given.password.decode()
        good = (login, password) == (how.get("user"), how.get("password"))
        return AuthResult(success=good, handled=good)

    mailbox = Mailbox(how.get("answers", []))

    def connection():
        starttls = how["tls"] == "starttls"
        return SMTP(
            mailbox,
            hostname="localhost",
            tls_context=context if starttls else None,
            require_starttls=starttls,
            auth_required="user" in how,
            auth_require_tls=starttls,
            authenticator=authenticate,
        )

    loop = asyncio.get_running_loop()
    wrapped = context if how["tls"] == "tls" else None
    server = await loop.create_server(connection, "127.0.0.1", 0, ssl=wrapped)
    say({"port": server.sockets[0].getsockname()[1]})
    # Ends with the test, whatever becomes of that: its end of the pipe is our standard input.
    await loop.run_in_executor(None, sys.stdin.read)


asyncio.run(main())
