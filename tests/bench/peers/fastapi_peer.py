"""
The applications API as a FastAPI service with SQLAlchemy's ORM over asyncpg: models, response models, a session and a
transaction a request. Runs on the versions of Debian 12 and 13. Settings come from BENCH_* variables.
"""

import asyncio
import hashlib
import json
import os
import re
import secrets
import time
from contextlib import asynccontextmanager
from datetime import datetime
from typing import List, Optional
from uuid import UUID

import bcrypt
import jwt
from fastapi import Depends, FastAPI, Header, HTTPException
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, Field
from sqlalchemy import Boolean, Column, DateTime, FetchedValue, ForeignKey, String, Text, event, select, text
from sqlalchemy.dialects.postgresql import ENUM, UUID as SqlUUID
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import declarative_base, defer, sessionmaker

SETTINGS = {name: os.environ["BENCH_" + name] for name in
            ("SOCKETS", "DATABASE", "DB_USER", "POOL", "JWT_KEY", "ISSUER", "AUDIENCE", "STATEMENTS")}

engine = create_async_engine(f"postgresql+asyncpg://{SETTINGS['DB_USER']}@/{SETTINGS['DATABASE']}?host={SETTINGS['SOCKETS']}",
                             pool_size=int(SETTINGS["POOL"]), max_overflow=0)
Session = sessionmaker(engine, class_=AsyncSession, expire_on_commit=False)
Base = declarative_base()


@event.listens_for(engine.sync_engine, "connect")
def prepare_connection(connection, record):
    # pgvector's type, which asyncpg does not know; only NULLs are sent as one.
    connection.run_async(lambda raw: raw.set_type_codec("vector", schema="public", encoder=str, decoder=str, format="text"))


# --- Models ---------------------------------------------------------------------------------------------------------

def enumeration(name, *values):
    return ENUM(*values, name=name, schema="public", create_type=False)


class Application(Base):
    __tablename__ = "applications"
    __table_args__ = {"schema": "public"}
    __mapper_args__ = {"eager_defaults": True}

    id = Column(SqlUUID(as_uuid=True), primary_key=True, server_default=FetchedValue())
    user_id = Column(SqlUUID(as_uuid=True), server_default=FetchedValue())
    name = Column(String(255))
    company_name = Column(String(255))
    role_title = Column(String(255))
    job_url = Column(Text)
    job_description = Column(Text)
    location = Column(String(255))
    priority_level = Column(enumeration("priority_level_type", "low", "medium", "high"))
    status = Column(enumeration("application_status_type", "draft", "research_complete", "resume_ready", "cover_letter_ready"),
                    server_default=FetchedValue())
    research_completed = Column(Boolean, server_default=FetchedValue())
    resume_optimized = Column(Boolean, server_default=FetchedValue())
    cover_letter_generated = Column(Boolean, server_default=FetchedValue())
    created_at = Column(DateTime(timezone=True), server_default=FetchedValue())
    updated_at = Column(DateTime(timezone=True), server_default=FetchedValue(), server_onupdate=FetchedValue())


class Document(Base):
    __tablename__ = "documents"
    __table_args__ = {"schema": "public"}
    __mapper_args__ = {"eager_defaults": True}

    id = Column(SqlUUID(as_uuid=True), primary_key=True, server_default=FetchedValue())
    application_id = Column(SqlUUID(as_uuid=True), ForeignKey(Application.id))
    document_type = Column(enumeration("document_type_enum", "research_report", "optimized_resume", "cover_letter"))
    content = Column(Text)
    created_at = Column(DateTime(timezone=True), server_default=FetchedValue())
    updated_at = Column(DateTime(timezone=True), server_default=FetchedValue(), server_onupdate=FetchedValue())


class Row(BaseModel):
    class Config:
        orm_mode = True         # pydantic 1
        from_attributes = True  # pydantic 2


class ApplicationListed(Row):
    id: UUID
    user_id: UUID
    name: str
    company_name: str
    role_title: str
    job_url: Optional[str]
    location: Optional[str]
    priority_level: str
    status: str
    research_completed: bool
    resume_optimized: bool
    cover_letter_generated: bool
    created_at: datetime
    updated_at: datetime


class ApplicationWhole(ApplicationListed):
    job_description: str


class ApplicationFound(ApplicationListed):
    rank: float
    snippet: str


class Applications(BaseModel):
    data: List[ApplicationListed]


class ApplicationsFound(BaseModel):
    data: List[ApplicationFound]


class DocumentWhole(Row):
    id: UUID
    application_id: UUID
    document_type: str
    content: str
    created_at: datetime
    updated_at: datetime


class NewApplication(BaseModel):
    company_name: str = Field(min_length=1, max_length=255)
    role_title: str = Field(min_length=1, max_length=255)
    job_description: str = Field(min_length=50, max_length=100000)
    name: str = Field(min_length=1, max_length=255)
    job_url: Optional[str] = Field(None, max_length=2048)
    location: Optional[str] = Field(None, max_length=255)
    priority_level: str = Field("medium")


class ChangedApplication(BaseModel):
    company_name: Optional[str] = Field(None, min_length=1, max_length=255)
    role_title: Optional[str] = Field(None, min_length=1, max_length=255)
    job_description: Optional[str] = Field(None, min_length=50, max_length=100000)
    name: Optional[str] = Field(None, min_length=1, max_length=255)
    job_url: Optional[str] = Field(None, max_length=2048)
    location: Optional[str] = Field(None, max_length=255)
    priority_level: Optional[str] = None


class NewDocument(BaseModel):
    content: str = Field(min_length=10, max_length=524288)


class SimilarTo(BaseModel):
    document_id: UUID
    limit: int = Field(10, ge=1, le=50)


class Credentials(BaseModel):
    email: str
    password: str


def fields(body, **options):
    return (body.model_dump if hasattr(body, "model_dump") else body.dict)(**options)


# --- Sessions -------------------------------------------------------------------------------------------------------

SET_USER = text("SELECT set_config('app.current_user_id', :user_id, true)")


def current_user(authorization: str = Header("")):
    try:
        claims = jwt.decode(authorization.partition(" ")[2], SETTINGS["JWT_KEY"], algorithms=["HS256"],
                            issuer=SETTINGS["ISSUER"], audience=SETTINGS["AUDIENCE"], options={"require": ["exp", "sub"]})
    except jwt.PyJWTError:
        raise HTTPException(401, "bad token") from None
    return claims["sub"]


@asynccontextmanager
async def transaction(user_id=None):
    async with Session() as session, session.begin():
        if user_id is not None:
            await session.execute(SET_USER, {"user_id": user_id})
        yield session


def statement(name):
    """A statement of the product with $1 as (:p1)."""
    return text(re.sub(r"\$(\d+)", r"(:p\1)", json.loads(SETTINGS["STATEMENTS"]).get(name, "")))


SEARCH, SIMILAR = statement("search"), statement("similar")
app = FastAPI()


# --- Endpoints ------------------------------------------------------------------------------------------------------

async def find(session, application_id):
    application = await session.get(Application, application_id)
    if application is None:
        raise HTTPException(404)
    return application


@app.get("/api/v1/applications/{application_id}", response_model=ApplicationWhole)
async def one(application_id: UUID, user_id: str = Depends(current_user)):
    async with transaction(user_id) as session:
        return await find(session, application_id)


@app.get("/api/v1/applications", response_model=Applications)
async def many(q: Optional[str] = None, limit: int = 20, user_id: str = Depends(current_user)):
    async with transaction(user_id) as session:
        if q is not None:
            return await search(session, q, limit)
        rows = await session.execute(select(Application).options(defer(Application.job_description))
                                     .order_by(Application.created_at.desc(), Application.id.desc()).limit(limit))
        return {"data": rows.scalars().all()}


async def search(session, q, limit):
    rows = await session.execute(SEARCH, {**{f"p{number}": None for number in range(1, 6)}, "p6": q, "p7": str(limit),
                                          "p8": "0"})
    found = ApplicationsFound(data=[ApplicationFound(**row) for row in rows.mappings()])
    return Response(found.json() if not hasattr(found, "model_dump_json") else found.model_dump_json(),
                    media_type="application/json")


@app.post("/api/v1/applications", response_model=ApplicationWhole, status_code=201)
async def create(body: NewApplication, user_id: str = Depends(current_user)):
    async with transaction(user_id) as session:
        application = Application(**fields(body))
        session.add(application)
        await session.flush()
        return application


@app.patch("/api/v1/applications/{application_id}", response_model=ApplicationWhole)
async def update(application_id: UUID, body: ChangedApplication, user_id: str = Depends(current_user)):
    async with transaction(user_id) as session:
        application = await find(session, application_id)
        for name, value in fields(body, exclude_unset=True).items():
            setattr(application, name, value)
        await session.flush()
        return application


@app.put("/api/v1/applications/{application_id}/documents/{document_type}", response_model=DocumentWhole)
async def put_document(application_id: UUID, document_type: str, body: NewDocument, user_id: str = Depends(current_user)):
    async with transaction(user_id) as session:
        locked = await session.execute(select(Application.id).where(Application.id == application_id)
                                       .with_for_update(key_share=True))
        if locked.first() is None:
            raise HTTPException(404)
        found = await session.execute(select(Document).where(Document.application_id == application_id,
                                                             Document.document_type == document_type))
        document = found.scalars().first()
        if document is None:
            document = Document(application_id=application_id, document_type=document_type)
            session.add(document)
        document.content = body.content
        await session.flush()
        return document


@app.post("/api/v1/documents/similar")
async def similar(body: SimilarTo, user_id: str = Depends(current_user)):
    async with transaction(user_id) as session:
        rows = await session.execute(SIMILAR, {"p1": None, "p2": body.document_id, "p3": None, "p4": str(body.limit)})
        # Two columns are JSON already.
        return JSONResponse({"data": [{name: json.loads(value) if isinstance(value, str) else value
                                       for name, value in row.items()} for row in rows.mappings()]})


LOGIN_BEGIN = text("SELECT user_id, password_hash, retry_after FROM jobforge.login_begin(:email, 10, 900)")
SESSION_OPEN = text("SELECT id, email, full_name, created_at, updated_at"
                    " FROM jobforge.session_open(:user_id, :hash, NULL, :token, 2592000)")
LOGIN_SUCCEEDED = text("SELECT jobforge.login_succeeded(:email)")


class Person(BaseModel):
    id: UUID
    email: str
    full_name: str
    created_at: datetime
    updated_at: datetime


class SignedIn(BaseModel):
    user: Person
    access_token: str
    token_type: str = "Bearer"
    expires_in: int = 900
    refresh_token: str


@app.post("/api/v1/auth/login", response_model=SignedIn)
async def login(body: Credentials):
    async with transaction() as session:
        found = (await session.execute(LOGIN_BEGIN, {"email": body.email})).mappings().one()
    # In a thread: bcrypt lets go of the interpreter's lock.
    right = found["password_hash"] and await asyncio.get_running_loop().run_in_executor(
        None, bcrypt.checkpw, body.password.encode(), found["password_hash"].encode())
    if not right:
        raise HTTPException(401)
    refresh_token = secrets.token_urlsafe(32)
    async with transaction() as session:
        user = (await session.execute(SESSION_OPEN, {
            "user_id": found["user_id"], "hash": found["password_hash"],
            "token": hashlib.sha256(refresh_token.encode()).digest()})).mappings().one()
        await session.execute(LOGIN_SUCCEEDED, {"email": body.email})
    now = int(time.time())
    token = jwt.encode({"iss": SETTINGS["ISSUER"], "aud": SETTINGS["AUDIENCE"], "sub": str(user["id"]), "iat": now,
                        "exp": now + 900}, SETTINGS["JWT_KEY"], algorithm="HS256", headers={"typ": "at+jwt"})
    return {"user": dict(user), "access_token": token, "refresh_token": refresh_token}
