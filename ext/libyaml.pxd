"""What is used of libyaml: events with their marks (yaml.h)."""

cdef extern from "yaml.h" nogil:
    ctypedef unsigned char yaml_char_t

    ctypedef enum yaml_error_type_t:
        YAML_MEMORY_ERROR
        YAML_READER_ERROR

    ctypedef enum yaml_event_type_t:
        YAML_STREAM_START_EVENT
        YAML_STREAM_END_EVENT
        YAML_DOCUMENT_START_EVENT
        YAML_DOCUMENT_END_EVENT
        YAML_ALIAS_EVENT
        YAML_SCALAR_EVENT
        YAML_SEQUENCE_START_EVENT
        YAML_SEQUENCE_END_EVENT
        YAML_MAPPING_START_EVENT
        YAML_MAPPING_END_EVENT

    ctypedef struct yaml_mark_t:
        size_t index
        size_t line
        size_t column

    ctypedef struct alias_data:
        yaml_char_t* anchor

    ctypedef struct scalar_data:
        yaml_char_t* anchor
        yaml_char_t* tag
        yaml_char_t* value
        size_t length
        int plain_implicit

    ctypedef struct collection_data:
        yaml_char_t* anchor
        yaml_char_t* tag

    ctypedef struct event_data:
        alias_data alias
        scalar_data scalar
        collection_data sequence_start
        collection_data mapping_start

    ctypedef struct yaml_event_t:
        yaml_event_type_t type
        event_data data
        yaml_mark_t start_mark
        yaml_mark_t end_mark

    ctypedef struct yaml_parser_t:
        yaml_error_type_t error
        const char* problem
        size_t problem_offset
        yaml_mark_t problem_mark
        const char* context
        yaml_mark_t context_mark

    int yaml_parser_initialize(yaml_parser_t* parser)
    void yaml_parser_delete(yaml_parser_t* parser)
    void yaml_parser_set_input_string(yaml_parser_t* parser, const unsigned char* text, size_t size)
    int yaml_parser_parse(yaml_parser_t* parser, yaml_event_t* event)
    void yaml_event_delete(yaml_event_t* event)
