r"""Where a text announces a value as the answer: "the answer is", "comes out to", "which is the answer", ``答案是``.

`AFTER` ends where the value begins, `BEFORE` begins where the value ended, `CHOICE` holds the letter of an option.
"""

from __future__ import annotations

import re

_ADJECTIVE = r"(?:final|correct|right|exact|numerical|numeric|desired|required|requested|ultimate|overall|complete)"
_SOUGHT = r"(?:desired|required|requested|sought(?:-after)?|wanted)"
_QUANTITY = (
    r"(?:values?|states?|totals?|amounts?|counts?|sums?|numbers?|figures?|products?|costs?|prices?|probability|areas?|"
    r"outputs?|tally|quantity|ratio|lengths?|angles?|volumes?|integers?|scores?|expression|results?|answers?)"
)
_ANSWER = rf"(?:(?:{_ADJECTIVE}[\s_]){{0,2}}(?:answers?|ans)\b\.?|final\s{_QUANTITY})"
_NOUN = (
    rf"(?:{_ANSWER}|(?:{_ADJECTIVE}\s){{0,2}}(?:results?|solutions?)|{_SOUGHT}\s{_QUANTITY}"
    r"|correct\s(?:value|total|number)|\bQ\.?E\.?D\b)"
)
# What may stand between "the answer" and "is". Closed classes of words only: "the answer depends on whether x is 2".
_BETWEEN = (
    r"(?:,?\s\(?(?:here|then|now|therefore|thus|hence|so|to|the|this|that|these|of|for|in|we|you|us|your|our|it|problem|"
    r"question|exercise|task|part|must|should|shall|will|would|can|could|only|just|simply|also|itself|we're|you're|are|looking|"
    r"get|gets|obtain|find|reach|want|need|wanted|seek|simplest|simplified|form|lowest|terms|cm|meters|metres|degrees|"
    r"[$][A-Za-z](?:\s?[-+*/]?\s?[A-Za-z]){0,4}[$]|[A-Za-z](?:\s?[-+*]\s?[A-Za-z])*|"
    r"radians|dollars|cents|units|percent|asked|have|has|after|all|being|simplifying|simplification|finally|both|given|"
    r"which|as|a|an|decimal|fraction|number|original|whole)\)?,?){0,8}"
)
_VERB = (
    r"(?:[\x22']?\s?[*_]{0,2}\s?(?:\b(?:is|are|was|be|being|equals?|becomes|reads?|reading|match)\b|:|=|≈|→|⇒|-+>|\\to\b|\\rightarrow\b)"
    r"|\s(?:comes?|came|works?|worked|turns?|turned|ends?)\s(?:out|up)\b"
    r"|\s(?:amounts|evaluates|simplifies|reduces|boils\sdown|leads|comes?)\s(?=to\b)|\s-{1,2}\s)"
)
_FILLER = (
    r"(?:(?:therefore|thus|then|simply|just|exactly|precisely|clearly|indeed|hence|obviously|equal|to|be|as|at|with|given|"
    r"by|being|the|an?|number|value|integer|fraction|about|approximately|roughly|nothing\sbut|option|choice|letter|"
    r"alternative|[A-Za-z]\s?=)[\s:*_]{1,3}){0,5}"
)
_ENGLISH = rf"""
    \b(?:{_NOUN}|(?:number|value|quantity|total|amount)\s(?:(?:that\s|which\s)?(?:we|you)\s?(?:(?:are|'re)\s(?:looking\sfor|after)|want|need|seek))){_BETWEEN}{_VERB}[\s:*_=]{{0,9}}{_FILLER}
    |\b{_ANSWER}(?:\sof|\s?[>\])])[\s:*_]{{1,9}}{_FILLER}
    |\bans\.\s{{0,3}}
    |\b(?:the|our|your|final|correct)\sanswer(?:\s(?=[-$\\(*]{{0,3}}\d)|,\s(?=[-$\\(*]{{0,3}}\d[\d.,/]*[$)*]*(?:(?<=,)\s|[.;!]|\Z)))
    |^[\s#*_>]{{0,9}}(?:the\s)?(?:final\s|correct\s)?answers?[\s*_:]{{0,9}}\n[\s*_]{{0,9}}
    |\b(?:comes?|came|coming|works?|worked|working)\sout\s(?:to|at|as|being)\b\s(?:be\s)?{_FILLER}
    |\bend(?:s|ed|ing)?\sup\s(?:with|at|as|being)\s{_FILLER}
    |\b(?:the|our|your|grand|whole)\stotal\scomes\sto\s{_FILLER}
    |^[\s*_#]{{0,5}}(?:final\s)?answers?\s?(?=\([-$]{{0,2}}[\d\\][^()\n]{{0,40}}\))
    |\b(?:correct|right|best|remaining|only\svalid|only\spossible|matching)\s(?:answer\s)?(?:option|choice|letter|alternative){_BETWEEN}
       {_VERB}[\s:*_=]{{0,9}}{_FILLER}
    |<answer>\s{{0,9}}|\#{{4}}\s{{0,9}}
"""
_OTHERS = (
    # Chinese
    r"(?:答案|最终结果|最后结果|得数|正解|正确(?:的|选项)|正确答案|所求(?:的)?(?:值|结果)?|结果|解)(?:[就便即必]|应该|应当|应|一定|将|"
    r"显然|只能)?(?:是|为|等于|[:=])\s{0,9}(?:[:=]\s?)?",
    r"(?:最终|正确|得到|得出|的)答案\s{0,3}(?=[-$\\(]{0,3}[\dA-J])",
    r"(?:^|[\s。,])答\s?[:]\s{0,9}",
    # Japanese, Korean
    r"(?:答え|解答|正解|答|解)(?:は|が|[:=])\s{0,9}",
    r"(?:정답|최종 답|해답|답)(?:은|는|이|[:=])\s{0,9}",
    # Dutch, Swedish, Danish, Norwegian, Polish, Czech, Turkish, Vietnamese, Indonesian, Romanian, Greek, Ukrainian
    r"\b(?:antwoord|svar(?:et)?|odpowied[zź]|odpověď|cevap|yanıt|đáp\s(?:án|số)|jawaban(?:nya)?|răspuns(?:ul)?|απάντηση|відповідь)"
    r"(?:\s[^\W\d_]{1,12}){0,2}?\s?[*_]{0,2}\s?(?:\b(?:is|luidt|är|er|to|jest|wynosi|je|là|adalah|ialah|este|e|είναι|це)\b|:|=)"
    r"[\s:*_]{0,9}|\bcevap\s(?=[-$\\(]{0,3}\d)",
    # Arabic, Hebrew, Hindi, Thai
    r"(?:الجواب|الإجابة|התשובה|תשובה|उत्तर|คำตอบ)\s?[*_]{0,2}\s?(?:هو|هي|היא|है|คือ|[:=])?[\s:*_]{0,9}(?=[-$\\(]{0,3}\d)",
    # Spanish, Portuguese, Italian, French, German, Russian
    r"\b(?:respuesta|resultado|soluci[oó]n|resposta|solução|risposta|risultato|soluzione|réponse|résultat|antwort|"
    r"ergebnis|endergebnis|lösung|resultat|ответ|результат|решение)(?:\s[^\W\d_]{1,12}){0,2}?\s?[*_]{0,2}\s?"
    r"(?:\b(?:es|son|será|sería|debe\sser|vale|é|são|deve\sser|è|sono|sarà|deve\sessere|est|sont|vaut|sera|serait|doit\s"
    r"être|ist|sind|lautet|beträgt|wäre|это|равен|равна|равно|будет)\b|:|=|\s[-—]\s)[\s:*_]{0,9}"
    r"(?:(?:igual\sa|égale?\sà|gleich|donc|also|alors|daher|entonces|por\slo\stanto|il|el|la|le|die|der|das|o|a)\s){0,2}",
)
AFTER = re.compile(
    "(?:" + _ENGLISH + ")|" + "|".join(f"(?:{pattern.replace(' ', '[ ]')})" for pattern in _OTHERS),
    re.IGNORECASE | re.VERBOSE | re.MULTILINE,
)
BEFORE = re.compile(
    rf"""[,;]?\s?[(-]{{0,2}}\s?(?:(?:which|that|and\s(?:this|that|it)|this|so\s(?:this|that|it)|that's|it's|there's)\s)?
    (?:(?<='s\s)|(?:is|are|as|for|gives?|becomes|being|yields|(?:must|will|should|would|has\sto|can\sonly)\sbe)\s|,\s|[(-]\s?|='s\s)
    (?:thus\s|then\s|therefore\s|indeed\s|also\s|exactly\s)?
    (?:(?:the|our|your|my|its)\s(?:{_ADJECTIVE}\s){{0,2}}(?:answers?|results?|solutions?)\b(?!\sto\s(?:an?|another|some|part|the\s(?:first|easier|simpler))\b)
      |(?:the|our|your)\s{_SOUGHT}\s{_QUANTITY}\b
      |(?:exactly\s|precisely\s|just\s)?what\syou\s(?:should|must|need\sto|have\sto)\s(?:report|answer|write|box|give|get|submit)\b
      |(?:exactly\s|precisely\s|just\s)?what\s(?:we|you|the\s(?:problem|question))\s(?:are\s|were\s|is\s)?(?:want|wanted|need|
        needed|seek|looking\sfor|asks?\s(?:for|us\s(?:for|to\sfind))|asked\s(?:for|to\sfind)|asking\sfor|after)\b)
    |,\s(?:then\s)?(?:you\sare|you're|it\sis|it's|that\sis|that's)\s(?:right|correct|done)\b
    |\s(?:our|your)\s(?:{_ADJECTIVE}\s)?answer\b
    |\s?(?:就|便|即|也)?(?:是|为)(?:我们|要求|所求|最终|正确|最后|本题)?的?(?:答案|结果|所求|得数)
    |\s?(?:が|は)(?:求める)?(?:答え|正解)
    """,
    re.IGNORECASE | re.VERBOSE,
)
_LETTER = r"[*_$\"']{0,3}(?:\\text(?:bf)?\{)?\(?([A-J])\)?(?![A-Za-z'’])"
_NO_SECOND = r"(?!\}?[\s*_]{0,3}(?:,|/|\bor\b|\band\b)\s?\(?[A-J]\b)"
_RIGHT = (
    r"(?:(?:\s(?:which|that))?\s(?:is|must\sbe|has\sto\sbe|will\sbe|should\sbe)\s(?:then\s|thus\s|therefore\s|indeed\s|clearly\s)?"
    r"(?:the\s)?(?:only\s)?(?:correct|right|best|true|valid|answer|one\swe\swant|one\sthat\s(?:works|fits|matches))\b)"
)
CHOICE = re.compile(
    rf"""\b(?i:option|choice|answer|letter|alternative)\s{_LETTER}(?=\}}?[*_$"']{{0,3}}{_RIGHT})
    |(?<![A-Za-z])[*_]{{0,2}}\(?([A-J])\)?(?=[*_]{{0,2}}(?:\sis|\smust\sbe)\s(?:the\s)?(?:correct|right|best)\s
      (?:option|choice|answer|one|letter|alternative)\b)
    |\b(?i:choose|pick|select|mark|circle|go\swith|matche?s|fits|corresponds\sto|leaves(?:\sonly)?|leads\sto|points\sto|
      gives|is|are\sleft\swith|left\swith|therefore|so|hence)\s(?:the\s)?(?i:answer\s(?=option|choice))?(?i:option|choice|answer|letter|alternative)\s
      {_LETTER}{_NO_SECOND}(?!\}}?\s(?:is|can't|cannot|fails|as\sa|correct|right|true|wrong)\b)
    |\b(?:[Ii]t|[Tt]his|[Tt]hat)\s(?:must|has\sto|can\sonly|should)\sbe\s(?:the\s)?(?:(?i:option|choice|answer|letter)\s)?
      {_LETTER}{_NO_SECOND}(?!\}}?(?:\s[a-z]|-))
    |\b[Tt]he\s(?:choice|option|letter)\s(?:is|must\sbe)\s{_LETTER}{_NO_SECOND}
    |\b(?i:so|thus|therefore|hence),?\s(?:it's|it\sis|that's|that\sis|this\sis|we\s(?:pick|choose|select))\s{_LETTER}{_NO_SECOND}
      (?=\}}?[\s*_$"']{{0,3}}(?:[.,;!]|\Z|\b(?:since|because|as|for)\b))
    |(?:^|[.!:;]\s)[*_]{{0,2}}\(?([A-J])\)?(?=[*_]{{0,2}}\sis\scorrect\b(?!\s(?:only|if|when|unless)\b))
    |(?<![A-Za-z(])[*_]{{0,2}}\(?([A-J])\)(?=[*_]{{0,2}}(?:\sis|\smust\sbe)\s(?:the\s)?(?:one|right|correct|answer|true)\b)
    |\b(?i:choose|pick|select|mark|circle|go\swith)\s(?:\(([A-J])\)|[*_]{{0,2}}([A-J])[*_]{{0,2}}(?=\s?(?:[.;!]|\Z))){_NO_SECOND}
    |\b(?i:thus|so|hence|therefore),?\s{_LETTER}(?=[*_$]{{0,3}}\sis\s(?:the\s)?(?:correct|right|best)\b)
    |\b(?i:only)\s(?:(?i:option|choice|answer)\s)?{_LETTER}(?=[*_$]{{0,3}}\s(?:works|fits|remains|matches|is\s(?:left|correct|right|possible|valid)))
    |\b(?i:leaving|leaves|(?:that|it)'s\s(?:option|choice))\s(?:(?i:only|us\swith)\s)?{_LETTER}(?=[*_$]{{0,3}}(?:[.;!]|\Z))
    |(?:故选|应选|因此选|所以选|故答案选|选择|选|选项)\s?:?\s?{_LETTER}{_NO_SECOND}(?!\s?(?:错|不))
    """,
    re.VERBOSE,
)
