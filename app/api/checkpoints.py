"""Routes of what checkpoints have in common: files beside those of the atlas."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Response
from fastapi import Path as InPath

from app.api.dependencies import Analyses
from app.api.problem import RETRY_AFTER, documented, problem
from app.corpus.checkpoints import layers_of
from app.corpus.library import PassNotFoundError
from app.recording import checkpoint_files
from app.recording.base import RunNotFoundError
from app.recording.files import media_type

_WAIT_SECONDS = 20.0

checkpoints = APIRouter(prefix="/api/v1/corpora", tags=["corpora"])


@checkpoints.get(
    f"/{{id}}/{checkpoint_files.STEM}.{{ending}}",
    response_class=Response,
    responses={
        200: {
            "content": {media_type(f".{ending}"): {} for ending in checkpoint_files.ENDINGS},
            "description": "The file, as attachment",
        },
        **documented(404, 422, 503),
    },
)
def saturation_file(
    analyst: Analyses,
    id: str,  # noqa: A002
    ending: Annotated[str, InPath(json_schema_extra={"enum": list(checkpoint_files.ENDINGS)})],
) -> Response:
    """Router saturation: of every pass of another checkpoint over the same corpus, the share of
    its tokens' experts that are the same in this pass, a row per checkpoint and layer.

    All passes must be finished and have kept every token's routing. 503 with `Retry-After` while
    they are still being compared.
    """
    if ending not in checkpoint_files.ENDINGS:
        raise RunNotFoundError("there is no such file")
    try:
        chosen = analyst.library.find(id)
        compared = analyst.saturations.beside(chosen, _WAIT_SECONDS)
    except PassNotFoundError as error:
        raise RunNotFoundError(str(error)) from None
    if not compared:
        raise RunNotFoundError(
            "no pass of another checkpoint over the same corpus kept every token's routing, as "
            "this one would have to"
        )
    settled = [each for each in compared if each.settled]
    if len(settled) < len(compared):
        said = f"passes are being compared: {len(settled)} of {len(compared)} are done"
        return problem(503, said, RETRY_AFTER)
    shape = layers_of(analyst.library, chosen)
    content = checkpoint_files.content(chosen, compared, shape, ending)
    name = f"{checkpoint_files.STEM}-{chosen.about.id[:8]}.{ending}"
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response(content, headers=headers, media_type=media_type(name))
